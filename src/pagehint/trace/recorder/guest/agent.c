/* The first program of a guest that is booted to be recorded: sets the guest up, records its page allocator, sends
 * the pieces through a virtio-serial port, runs the command, and turns the guest off. Under other names it is a
 * workload: anon, tmpfs, cache, fragment, churn, pressure; or mark, or look. Static: the guest has no libraries. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TRACEFS "/sys/kernel/tracing"
#define INSTANCE TRACEFS "/instances/pagehint"
#define PAGE 4096
#define PAGES 64
#define MOST_CPUS 64
#define REPORTING_BIT 5
#define PARAMETERS "/sys/module/page_reporting/parameters"
/* A file's time is that of the last tick. */
#define COARSE 10000000ull

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void pause_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) && errno == EINTR)
        ;
}

static int write_text(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CLOEXEC | O_APPEND);
    if (file < 0)
        return -1;
    ssize_t size = strlen(text), put = write(file, text, size);
    close(file);
    return put == size ? 0 : -1;
}

static void mark(const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    write_text(INSTANCE "/trace_marker", text);
}

/* The port */

static int port = -1;

static void send_all(const void *data, size_t size) {
    const char *at = data;
    while (size) {
        ssize_t put = write(port, at, size);
        if (put < 0 && errno != EINTR && errno != EAGAIN)
            exit(1);
        if (put > 0)
            at += put, size -= put;
    }
}

static void piece(const char *name, const void *data, size_t size) {
    char head[300];
    int length = snprintf(head, sizeof head, "%s %zu\n", name, size);
    send_all(head, length);
    send_all(data, size);
}

static void piece_text(const char *name, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    piece(name, text, length);
}

static void piece_file(const char *name, const char *path) {
    static char data[1 << 20];
    size_t size = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    for (ssize_t got; size < sizeof data && (got = read(file, data + size, sizeof data - size)) > 0;)
        size += got;
    close(file);
    piece(name, data, size);
}

static void piece_system(const char *path) {
    char name[280];
    snprintf(name, sizeof name, "file/%s", path);
    piece_file(name, path);
}

static void piece_systems(const char *folder) {
    DIR *all = opendir(folder);
    if (!all)
        return;
    for (struct dirent *each; (each = readdir(all));)
        if (each->d_name[0] != '.') {
            char path[600];
            snprintf(path, sizeof path, "%s/%s", folder, each->d_name);
            if (strlen(path) < 180)
                piece_system(path);
        }
    closedir(all);
}

/* Three questions of the host's clock; the answer of the shortest way is the best. */
static void ask_clock(void) {
    for (int i = 0; i < 3; i++) {
        char answer[64] = "";
        size_t size = 0;
        uint64_t asked = now();
        piece("ping", "", 0);
        while (size < sizeof answer - 1 && !memchr(answer, '\n', size)) {
            struct pollfd wait = {port, POLLIN, 0};
            if (poll(&wait, 1, 2000) <= 0)
                return;
            ssize_t got = read(port, answer + size, sizeof answer - 1 - size);
            if (got <= 0)
                return;
            size += got;
        }
        uint64_t answered = now();
        piece_text("clock", "%llu %llu %llu", (unsigned long long)asked, strtoull(answer, 0, 10),
                   (unsigned long long)answered);
    }
}

/* The recording */

static int buffers[MOST_CPUS], cpus;

static void drain(void) {
    static char pages[PAGES * PAGE];
    uint64_t begun = now();
    for (int cpu = 0; cpu < cpus; cpu++) {
        char name[32];
        size_t size = 0;
        snprintf(name, sizeof name, "pages/%d", cpu);
        for (ssize_t got; (got = read(buffers[cpu], pages + size, PAGE)) > 0;) {
            memset(pages + size + got, 0, PAGE - got);
            if ((size += PAGE) == sizeof pages) {
                piece(name, pages, size);
                size = 0;
            }
        }
        if (size)
            piece(name, pages, size);
    }
    piece_text("round", "%llu", (unsigned long long)begun);
}

static uint64_t end_of_memory(void) {
    char line[256];
    unsigned long long start, spanned = 0, end = 0;
    FILE *file = fopen("/proc/zoneinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, " spanned %llu", &spanned);
        if (sscanf(line, " start_pfn: %llu", &start) == 1 && spanned && start + spanned > end)
            end = start + spanned;
    }
    if (file)
        fclose(file);
    return end;
}

/* The flags reach to the end of what zoneinfo said just before, also where memory is plugged meanwhile. */
static void snapshot(const char *when) {
    static const char *const texts[] = {"zoneinfo", "pagetypeinfo", "buddyinfo", "meminfo", "vmstat"};
    static char flags[1 << 18];
    char name[64], path[64];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(name, sizeof name, "%s/%s", when, texts[i]);
        snprintf(path, sizeof path, "/proc/%s", texts[i]);
        piece_file(name, path);
    }
    int file = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
    snprintf(name, sizeof name, "%s/kpageflags", when);
    mark("KPF-BEGIN %s", when);
    for (uint64_t left = 8 * end_of_memory(); left;) {
        ssize_t got = read(file, flags, left < sizeof flags ? left : sizeof flags);
        if (got <= 0)
            break;
        piece(name, flags, got);
        left -= got;
        drain();
    }
    mark("KPF-END %s", when);
    close(file);
    snprintf(name, sizeof name, "%s/end", when);
    piece(name, "", 0);
}

/* Who asks for a snapshot in the middle: `look`, which waits for it. Real-time signals queue: each is answered. */
static sigset_t asking(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGRTMIN);
    return signals;
}

static void answer(void) {
    static int looks;
    static const struct timespec at_once;
    sigset_t signals = asking();
    for (siginfo_t asker; sigtimedwait(&signals, &asker, &at_once) > 0;) {
        char name[32];
        snprintf(name, sizeof name, "look%d", ++looks);
        snapshot(name);
        kill(asker.si_pid, SIGUSR1);
    }
}

/* A line of /events: the event's folder, and the name it is known by. */
static void each_event(int enable) {
    char line[256], event[128], name[64], path[300];
    FILE *file = fopen("/events", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%127s %63s", event, name) == 2) {
            snprintf(path, sizeof path, INSTANCE "/events/%s/%s", event, enable ? "enable" : "format");
            if (enable)
                write_text(path, "1");
            else {
                char as[80];
                snprintf(as, sizeof as, "format/%s", name);
                piece_file(as, path);
            }
        }
    if (file)
        fclose(file);
}

static void probe(void) {
    char line[256];
    FILE *file = fopen("/probes", "r");
    while (file && fgets(line, sizeof line, file))
        write_text(TRACEFS "/kprobe_events", line);
    if (file)
        fclose(file);
}

static void open_buffers(void) {
    for (cpus = 0; cpus < MOST_CPUS; cpus++) {
        char path[100];
        snprintf(path, sizeof path, INSTANCE "/per_cpu/cpu%d/trace_pipe_raw", cpus);
        if ((buffers[cpus] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
            break;
    }
}

static void insert(const char *path) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        syscall(SYS_finit_module, file, "", 0);
        close(file);
    }
}

static void insert_all(const char *list) {
    char line[256];
    FILE *file = fopen(list, "r");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        insert(line);
    }
    if (file)
        fclose(file);
}

/* Reporting: what a change of it is told by. */

static char balloon[400];

static int offers_reporting(const char *path) {
    char features[8] = "";
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t got = read(file, features, sizeof features - 1);
    close(file);
    return got > REPORTING_BIT && features[REPORTING_BIT] == '1';
}

/* How it stands: whether a balloon with the feature has its driver, and the parameters; by the file that sets each. */
enum { DRIVEN, ORDER, DELAY, PARTS };
static const char *const parameters[PARTS] = {"", "page_reporting_order", "page_reporting_delay_ms"};
static char files[PARTS][100], words[PARTS][64];

static void read_reporting(void) {
    char path[420];
    snprintf(path, sizeof path, "%s/driver", balloon);
    int on = *balloon && !access(path, F_OK);
    snprintf(files[DRIVEN], sizeof *files, "/sys/bus/virtio/drivers/virtio_balloon/%s", on ? "bind" : "unbind");
    strcpy(words[DRIVEN], on ? " on" : " off");
    for (int i = ORDER; i < PARTS; i++) {
        char value[24] = "";
        *words[i] = 0;
        snprintf(files[i], sizeof *files, PARAMETERS "/%s", parameters[i]);
        int file = open(files[i], O_RDONLY | O_CLOEXEC);
        if (file >= 0 && read(file, value, sizeof value - 1) > 0) {
            value[strcspn(value, "\n")] = 0;
            snprintf(words[i], sizeof *words, " %s=%s", parameters[i], value);
        }
        if (file >= 0)
            close(file);
    }
}

/* When a file was written, by this program's clock. */
static uint64_t written_at(const char *path) {
    struct timespec t;
    struct stat file;
    if (stat(path, &file))
        return 0;
    uint64_t asked = now();
    clock_gettime(CLOCK_REALTIME, &t);
    return asked - (t.tv_sec - file.st_mtim.tv_sec) * 1000000000ll - (t.tv_nsec - file.st_mtim.tv_nsec);
}

/* A mark where it is not as it was, and since when, as the files tell that were written. Only these: the time of others
 * may be that at which somebody first looked at them. */
static void look_at_reporting(void) {
    static char before[PARTS][64];
    static uint64_t looked;
    uint64_t begun = now(), since = 0;
    read_reporting();
    if (looked && memcmp(words, before, sizeof words)) {
        char text[24] = "";
        for (int i = 0; i < PARTS; i++) {
            uint64_t written = strcmp(words[i], before[i]) ? written_at(files[i]) : 0;
            if (written + COARSE >= looked && written <= now() && written > since)
                since = written;
        }
        if (since)
            snprintf(text, sizeof text, "%llu", (unsigned long long)since);
        mark("REPORTING%s%s%s%s%s", words[DRIVEN], words[ORDER], words[DELAY], *text ? " since=" : "", text);
    }
    memcpy(before, words, sizeof words);
    looked = begun;
}

static void balloon_features(void) {
    DIR *all = opendir("/sys/bus/virtio/devices");
    for (struct dirent *each; all && (each = readdir(all));) {
        char path[400], kind[16] = "";
        snprintf(path, sizeof path, "/sys/bus/virtio/devices/%s/device", each->d_name);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0)
            continue;
        if (read(file, kind, sizeof kind - 1) > 0 && !strncmp(kind, "0x0005", 6)) {
            snprintf(path, sizeof path, "/sys/bus/virtio/devices/%s/features", each->d_name);
            piece_system(path);
            if (offers_reporting(path))
                snprintf(balloon, sizeof balloon, "/sys/bus/virtio/devices/%s", each->d_name);
        }
        close(file);
    }
    if (all)
        closedir(all);
}

/* While a child runs, or for a time. */
static int watch(pid_t child, uint64_t until) {
    int status = 0;
    for (int round = 0;; round++) {
        drain();
        answer();
        if (round % 5 == 0)
            look_at_reporting();
        if (child > 0 && waitpid(child, &status, WNOHANG) == child)
            return status;
        if (child <= 0 && now() >= until)
            return 0;
        pause_ms(20);
    }
}

static void set_order(const char *order) {
    if (*order != '-')
        write_text(PARAMETERS "/page_reporting_order", order);
}

static void off(void) {
    sync();
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

static int init(void) {
    sigset_t signals = asking();
    sigprocmask(SIG_BLOCK, &signals, 0);
    setenv("PATH", "/bin", 1);
    mount("dev", "/dev", "devtmpfs", 0, 0);
    mount("proc", "/proc", "proc", 0, 0);
    mount("sys", "/sys", "sysfs", 0, 0);
    mount("trace", TRACEFS, "tracefs", 0, 0);
    mount("tmp", "/tmp", "tmpfs", 0, "size=90%");
    insert_all("/modules");
    for (int i = 0; i < 200 && (port = open("/dev/vport0p1", O_RDWR | O_CLOEXEC)) < 0; i++)
        pause_ms(10);
    if (port < 0) {
        puts("pagehint: no virtio-serial port");
        off();
    }
    char hold_text[16] = "4", buffer[16] = "4096", order[16] = "-";
    FILE *settings = fopen("/settings", "r");
    if (settings && fscanf(settings, "%15s %15s %15s", hold_text, buffer, order)) {
    }
    uint64_t hold = strtoull(hold_text, 0, 10) * 1000000000ull;
    struct utsname name;
    uname(&name);
    send_all("pagehint recording 1\n", 21);
    mkdir(INSTANCE, 0700);
    write_text(INSTANCE "/tracing_on", "0");
    write_text(INSTANCE "/trace_clock", "mono");
    write_text(INSTANCE "/buffer_size_kb", buffer);
    write_text(INSTANCE "/options/record-cmd", "0");
    probe();
    each_event(1);
    piece_text("machine",
               "{\"kernel\": \"%s\", \"architecture\": \"%s\", \"page_size\": 4096, \"level\": \"page\", "
               "\"pfn_end\": %llu, \"vmemmap\": 18446719884453740544}",
               name.release, name.machine, (unsigned long long)end_of_memory());
    piece_file("header_page", TRACEFS "/events/header_page");
    each_event(0);
    open_buffers();
    /* A balloon that is built in reports already; one that isn't overwrites this up to 6.1. */
    set_order(order);
    write_text(INSTANCE "/tracing_on", "1");
    ask_clock();
    snapshot("init");
    int built_in = !access("/sys/bus/virtio/drivers/virtio_balloon", F_OK);
    insert_all("/balloon");
    /* Behind it, as it may take seconds on a busy host; one that is built in came at boot. */
    if (!built_in)
        piece_text("balloon", "%llu", (unsigned long long)now());
    probe();
    each_event(1);
    each_event(0);
    set_order(order);
    balloon_features();
    piece_systems(PARAMETERS);
    struct timespec tick;
    if (!clock_getres(CLOCK_MONOTONIC_COARSE, &tick))
        piece_text("file/clock_tick_ns", "%ld", tick.tv_nsec);
    piece_system("/proc/version");
    piece_system("/sys/devices/system/cpu/online");
    piece_system("/sys/kernel/mm/transparent_hugepage/enabled");
    piece_system("/sys/module/page_alloc/parameters/shuffle");
    watch(0, now() + hold);
    ask_clock();
    pid_t child = fork();
    if (!child) {
        sigprocmask(SIG_UNBLOCK, &signals, 0);
        close(port);
        execl("/bin/sh", "sh", "/command", (char *)0);
        _exit(127);
    }
    int status = watch(child, 0);
    mark("MARK idle");
    watch(0, now() + hold);
    ask_clock();
    snapshot("final");
    write_text(INSTANCE "/tracing_on", "0");
    drain();
    drain();
    for (int cpu = 0; cpu < cpus; cpu++) {
        char as[32], path[100];
        snprintf(as, sizeof as, "stats/%d", cpu);
        snprintf(path, sizeof path, INSTANCE "/per_cpu/cpu%d/stats", cpu);
        piece_file(as, path);
    }
    piece_text("status", "%d", WIFEXITED(status) ? WEXITSTATUS(status) : 128);
    piece("end", "", 0);
    char last;
    struct pollfd wait = {port, POLLIN, 0};
    if (poll(&wait, 1, 10000) > 0 && read(port, &last, 1) < 0) {
    }
    off();
    return 0;
}

/* Workloads */

static uint64_t seed = 88172645463325252ull;

static uint64_t draw(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static char *map(size_t size, int huge) {
    size_t around = 2 << 20;
    char *all = mmap(0, size + around, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        exit(1);
    char *at = (char *)(((uintptr_t)all + around - 1) & ~(around - 1));
    madvise(at, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return at;
}

static void touch(char *at, size_t size) {
    for (size_t i = 0; i < size; i += PAGE)
        at[i] = 1;
}

static void fill(const char *path, size_t size) {
    static char block[1 << 16];
    memset(block, 7, sizeof block);
    int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    for (size_t i = 0; i < size; i += sizeof block)
        if (write(file, block, sizeof block) < 0)
            break;
    close(file);
}

static void anon(size_t size, long hold, int huge) {
    mark("MARK anon %s", huge ? "huge" : "small");
    char *at = map(size, huge);
    touch(at, size);
    mark("MARK anon held");
    pause_ms(hold);
    mark("MARK anon freed");
    munmap(at, size);
}

static void tmpfs(size_t size, long hold) {
    char path[64];
    mark("MARK tmpfs");
    for (int i = 0; i < 10; i++) {
        snprintf(path, sizeof path, "/tmp/w%d", i);
        fill(path, size / 10);
    }
    mark("MARK tmpfs held");
    pause_ms(hold);
    mark("MARK tmpfs half removed");
    for (int i = 0; i < 10; i += 2) {
        snprintf(path, sizeof path, "/tmp/w%d", i);
        unlink(path);
    }
    pause_ms(hold);
    mark("MARK tmpfs removed");
    for (int i = 1; i < 10; i += 2) {
        snprintf(path, sizeof path, "/tmp/w%d", i);
        unlink(path);
    }
}

/* Without a disk: the files of the initramfs are page cache that stays; a ramfs that is left is dropped. */
static void cache(size_t size, long hold) {
    mkdir("/tmp/cache", 0700);
    mark("MARK cache");
    mount("ram", "/tmp/cache", "ramfs", 0, 0);
    fill("/tmp/cache/file", size);
    mark("MARK cache held");
    pause_ms(hold);
    mark("MARK cache dropped");
    umount("/tmp/cache");
    write_text("/proc/sys/vm/drop_caches", "3");
}

static void fragment(size_t size, long hold) {
    mark("MARK fragment");
    char *at = map(size, 0);
    touch(at, size);
    for (size_t i = 0; i < size; i += 16 * PAGE)
        madvise(at + i + PAGE, 15 * PAGE, MADV_DONTNEED);
    mark("MARK fragment held");
    pause_ms(hold);
    mark("MARK fragments freed");
    munmap(at, size);
}

/* As many processes as six slots take in the time, not until then: the work is the same however fast the guest is. */
static void churn(size_t most, long time) {
    pid_t slots[6] = {0};
    size_t pages = most / 6 / PAGE;
    mark("MARK churn");
    for (long left = time * 12 / 1000; left > 0;) {
        for (pid_t ended; (ended = waitpid(-1, 0, WNOHANG)) > 0;)
            for (int i = 0; i < 6; i++)
                if (slots[i] == ended)
                    slots[i] = 0;
        for (int i = 0; i < 6; i++)
            if (!slots[i]) {
                uint64_t random = draw();
                size_t size = ((random >> 20) % (pages ? pages : 1) + 1) * PAGE;
                long hold = 50 + (random >> 8) % 400;
                if (!(slots[i] = fork())) {
                    char *at = map(size, random & 1);
                    touch(at, size);
                    pause_ms(hold);
                    madvise(at, size / 2 & ~(size_t)(PAGE - 1), MADV_DONTNEED);
                    pause_ms(hold);
                    _exit(0);
                }
                left--;
                break;
            }
        pause_ms(20);
    }
    while (wait(0) > 0)
        ;
    mark("MARK churn ended");
}

static void look(void) {
    sigset_t signals;
    int number;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, 0);
    if (!kill(1, SIGRTMIN))
        sigwait(&signals, &number);
}

/* More than there is, in files that may be reclaimed and memory that may not. */
static void pressure(size_t size, long hold) {
    mark("MARK pressure");
    char *at = map(size, 1);
    touch(at, size);
    fill("/tmp/pressure", size / 4);
    mark("MARK pressure held");
    pause_ms(hold);
    unlink("/tmp/pressure");
    munmap(at, size);
    mark("MARK pressure freed");
}

int main(int count, char **arguments) {
    const char *name = strrchr(arguments[0], '/') ? strrchr(arguments[0], '/') + 1 : arguments[0];
    if (getpid() == 1)
        return init();
    size_t size = (count > 1 ? strtoull(arguments[1], 0, 10) : 64) << 20;
    long hold = count > 2 ? atol(arguments[2]) : 4000;
    if (!strcmp(name, "mark"))
        mark("MARK %s", count > 1 ? arguments[1] : "");
    else if (!strcmp(name, "look"))
        look();
    else if (!strcmp(name, "anon"))
        anon(size, hold, count > 3 && !strcmp(arguments[3], "huge"));
    else if (!strcmp(name, "tmpfs"))
        tmpfs(size, hold);
    else if (!strcmp(name, "cache"))
        cache(size, hold);
    else if (!strcmp(name, "fragment"))
        fragment(size, hold);
    else if (!strcmp(name, "churn"))
        churn(size, hold);
    else if (!strcmp(name, "pressure"))
        pressure(size, hold);
    else
        return 2;
    return 0;
}
