"""Runs on disks that are too small, each by another amount: the run ends with 74 or warns and goes
on, what it saved before loads, and with room it resumes to the bits of an uninterrupted run.

usage: Scripts/soak/full_disk.py [RUNS]      (50)

Mounts small file systems in memory, which needs the right to mount.
"""

import collections
import random
import subprocess
import sys

from tiny_run import Progress, Workplace, finish, say

# KiB from what the log and recipe of a run need to what all of it does.
LEAST, MOST = 32, 1024


def mount(folder, kibibytes, again=False):
    options = f"size={kibibytes}k,nr_inodes=10000" + (",remount" if again else "")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    progress = Progress("full_disk")
    generator = random.Random(1)
    codes = collections.Counter()
    wrong = warned = 0
    with Workplace() as place:
        place.expect("train", "recipe.json", "--output", "whole")
        expected = place.result("whole")
        disk = place.path / "disk"
        disk.mkdir()
        for number in range(runs):
            size = round(LEAST * (MOST / LEAST) ** generator.random()) // 4 * 4
            mount(disk, size)
            try:
                code, text = finish(place.train("disk/run"))
                codes[code] += 1
                warned += code == 0 and "E0701" in text
                mount(disk, 8 * MOST, again=True)
                last, end = place.run("resume", "disk/run")
                if last == 66:
                    last, end = finish(place.train("disk/run"))
                good = code in (0, 74) and last == 0 and place.result("disk/run") == expected
                if not good:
                    wrong += 1
                    say(f"full_disk: {size} KiB ended with {code}, then {last}\n{text}\n{end}")
            finally:
                subprocess.run(["umount", str(disk)], check=True)
            progress.at(f"{number + 1} runs")
    found = ", ".join(f"{count} × {code}" for code, count in sorted(codes.items()))
    progress.end(
        f"{runs} runs on {LEAST} to {MOST} KiB: {found}, {warned} of those with 0 after a warning; "
        f"{wrong} lost something")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
