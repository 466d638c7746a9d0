#!/bin/sh
# Gives a guest's memory back with nothing but what a stock kernel offers: as root in the guest, in the background,
#
#     sh stock_guest.sh [ORDER [DELAY_MS]]
#
# Free blocks from ORDER on (9) go to the host, after DELAY_MS where the kernel has that (7.3), else after 2 s. Once the
# guest was at rest for 10 s (its CPUs idle, hardly a page allocated, nothing that waits for memory), a quarter of the
# page cache goes each 2 s, by memory.reclaim of cgroup 2, or all of it by drop_caches where the kernel has no such
# file. Then what lies free in smaller blocks is compacted, once. Where a quarter of what went was read again, the next
# rest must be twice as long, up to ten minutes.
order=${1:-9}
delay=${2:-}
parameters=/sys/module/page_reporting/parameters
reclaim=/sys/fs/cgroup/memory.reclaim
files='^(Active|Inactive)[(]file[)]'

echo "$order" > $parameters/page_reporting_order
[ -z "$delay" ] || [ ! -e $parameters/page_reporting_delay_ms ] || echo "$delay" > $parameters/page_reporting_delay_ms

sum() { # of the second words of a file's lines whose first word is like this
    awk -v name="$1" '$1 ~ name {all += $2} END {printf "%.0f\n", all}' "$2"
}
waits() { # whether anything waited for memory lately
    [ -e /proc/pressure/memory ] && awk '/^some/ {sub("avg10=", "", $2); exit !($2 > 0.1)}' /proc/pressure/memory
}
ticks() { # of all CPUs, idle ones and all
    awk '/^cpu / {for (i = 2; i <= 9; i++) all += $i; printf "%.0f %.0f\n", $5 + $6, all}' /proc/stat
}
scattered() { # KiB free in blocks that are too small
    awk -v order="$order" '{for (kib = 4; o < order; kib *= 2) all += $(5 + o++) * kib; o = 0} END {printf "%.0f\n", all}' /proc/buddyinfo
}

total=$(sum '^MemTotal' /proc/meminfo)
patience=5 rests=0 went=0 done=
allocated=$(sum '^pgalloc_' /proc/vmstat)
again=$(sum '^workingset_refault(_file)?$' /proc/vmstat)
set -- $(ticks)
while sleep 2; do
    now=$(sum '^pgalloc_' /proc/vmstat)
    were="$1 $2"
    set -- $(ticks) $were
    if [ $((4 * (now - allocated))) -gt $((total / 64)) ] || waits ||
        [ $((4 * ($1 - $3))) -lt $((3 * ($2 - $4))) ]; then
        rests=0 done=
    else
        rests=$((rests + 1))
    fi
    allocated=$now
    [ $rests -ge $patience ] && [ -z "$done" ] || continue
    if [ $rests -eq $patience ]; then
        now=$(sum '^workingset_refault(_file)?$' /proc/vmstat)
        if [ $((16 * (now - again))) -gt "$went" ] && [ "$went" -gt 0 ]; then
            [ $patience -ge 300 ] || patience=$((2 * patience))
        elif [ $patience -gt 5 ]; then
            patience=$((patience / 2))
        fi
        again=$now went=0
        sync
    fi
    cache=$(sum "$files" /proc/meminfo)
    if [ "$cache" -gt $((total / 64)) ]; then
        if [ -e $reclaim ]; then
            echo $((cache / 4))K > $reclaim
        else
            echo 1 > /proc/sys/vm/drop_caches
        fi 2> /dev/null
        fell=$((cache - $(sum "$files" /proc/meminfo)))
        went=$((went + fell))
        [ $fell -lt $((cache / 16)) ] || continue
    fi
    done=yes
    [ "$order" -eq 0 ] || [ "$(scattered)" -lt $((total / 64)) ] || echo 1 > /proc/sys/vm/compact_memory
done
