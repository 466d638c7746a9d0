"""Makes docs/residency.png of the shipped recording: ``python docs/picture.py``. Needs selenium and Chromium."""

import argparse
import base64
import shutil
import tempfile
from pathlib import Path

from selenium import webdriver

import pagehint
from pagehint.report.html import write_html

_SIZE = {"format": "png", "width": 980, "height": 440, "scale": 1.5}


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    trace = pagehint.example()
    run, baseline = pagehint.replay(trace, pagehint.guest_reporting(trace)), pagehint.replay(trace)
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    # With both paths given, selenium looks for nothing on the network.
    options.binary_location = shutil.which("chromium") or "chromium"
    service = webdriver.ChromeService(shutil.which("chromedriver") or "chromedriver")
    with tempfile.TemporaryDirectory() as folder, webdriver.Chrome(options, service) as browser:
        page = Path(folder) / "page.html"
        write_html([run], page, baseline)
        browser.get(page.as_uri())
        url = browser.execute_async_script("Plotly.toImage('residency', arguments[0]).then(arguments[1])", _SIZE)
    target = Path(__file__).with_name("residency.png")
    target.write_bytes(base64.b64decode(url.partition(",")[2]))
    print(f"{target}: {target.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
