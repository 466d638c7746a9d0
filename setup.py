"""Builds the compiled parts: plain Python files with Cython annotations. Everything else is in pyproject.toml."""

import os

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

COMPILED = [
    "hinting/conversation",
    "hinting/clock",
    "hinting/design",
    "hinting/designs/hinting",
    "hinting/designs/breakeven",
    "hinting/designs/survival",
    "hinting/drivers/virtual",
    "host/backing",
    "mm/batch",
    "mm/buddy",
    "mm/hinting_state",
    "mm/fallback",
    "mm/hinted",
    "mm/ranges",
    "mm/attached",
    "mm/pcp",
    "mm/spans",
    "mm/zone",
    "trace/recorder/pages",
    "replays/columns",
    "replays/engine",
    "replays/list_searches",
    "replays/observers/best_possible",
    "replays/on_the_way",
    "replays/pages",
    "replays/placing",
    "replays/refills",
    "replays/scan",
    "arena/extents",
    "arena/warm",
    "arena/block",
    "arena/numpy_handler",
]


def optimised(name: str) -> list[str]:
    """How hard the compiler tries, by a module's room: where it saves no time but takes the compiler's, less."""
    match name.partition("/")[0]:
        case "mm":  # churn takes 5 % less time, replays and the arena no less
            return ["-O3", "-finline-limit=5000"]
        case "hinting" | "host":  # -O2 takes nearly twice as long to compile, and a pass as long
            return ["-O1"]
    return ["-O2"]


# Every module's first lines, so that a lock is the same one in all of them, and no object is made by halves.
HEADERS = ["src/pagehint/lock.h", "src/pagehint/classes.h"]
INCLUDED = [argument for header in HEADERS for argument in ("-include", header)]

# Made by Cython: what its views of arrays need, compiled once and not once a module.
SHARED = "pagehint._cyutility"

NO_COMPILER = (
    "pagehint needs a C compiler and Python's headers to build its engine "
    "(Debian/Ubuntu: apt install gcc python3-dev; Fedora: dnf install gcc python3-devel): {}"
)


class BuildExt(build_ext):
    def run(self) -> None:
        self.parallel = self.parallel or os.cpu_count()
        try:
            super().run()
        except (CCompilerError, ExecError, PlatformError, OSError) as error:
            raise SystemExit(NO_COMPILER.format(error)) from None


# Where Cython's processes are not forked, as since Python 3.14, each loads this file.
if __name__ == "__main__":
    setup(
        ext_modules=cythonize(
            # The largest first, as two compilers work on the list: last, one of them waited for it.
            [
                Extension(
                    SHARED,
                    [f"src/{SHARED.replace('.', '/')}.c"],
                    extra_compile_args=["-O1", "-g0", *INCLUDED],
                    depends=HEADERS,
                )
            ]
            + [
                Extension(
                    f"pagehint.{name.replace('/', '.')}",
                    [f"src/pagehint/{name}.py"],
                    # Without what debuggers want, which Python's own flags ask for: a quarter of the compiler's time.
                    extra_compile_args=["-g0", *optimised(name), *INCLUDED],
                    depends=HEADERS,
                    include_dirs=[numpy.get_include()],
                    define_macros=[("NPY_TARGET_VERSION", "NPY_1_22_API_VERSION")],
                )
                for name in COMPILED
            ],
            shared_utility_qualified_name=SHARED,
            nthreads=os.cpu_count() or 1,
            build_dir="build/cython",  # not among the sources: a package has the C that people write, and no other
            compiler_directives={
                "auto_pickle": False,  # a state from elsewhere could be any
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "cdivision": True,
                "initializedcheck": False,
                "freethreading_compatible": True,
            },
        ),
        cmdclass={"build_ext": BuildExt},
    )
