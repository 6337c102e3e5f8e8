# SPDX-License-Identifier: BSD-2-Clause
"""What one check gave, and how it is told: lines as they come, then a summary."""
import dataclasses
import os
import threading
import xml.sax.saxutils

PASS, FAIL, SKIP = "pass", "FAIL", "skip"


@dataclasses.dataclass
class Result:
    name: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""  # one line, or for a failure as many as it takes
    log: str = ""     # a file that says more


class Report:
    def __init__(self, folder):
        self.folder = folder
        self.results = []
        self.lock = threading.Lock()
        os.makedirs(folder, exist_ok=True)

    def add(self, result):
        with self.lock:
            self.results.append(result)
            self.show(result)

    def show(self, result):
        lines = result.detail.strip().splitlines()
        head = f"  ({lines[0]})" if lines and result.outcome != FAIL else ""
        print(f"{result.outcome}  {result.seconds:6.1f} s  {result.name}{head}", flush=True)
        if result.outcome == FAIL:
            for line in lines:
                print(f"        {line}")
            if result.log:
                print(f"        log: {result.log}", flush=True)

    def count(self, outcome):
        return sum(1 for r in self.results if r.outcome == outcome)

    def write_junit(self):
        quote = xml.sax.saxutils.quoteattr
        with open(os.path.join(self.folder, "results.xml"), "w") as f:
            f.write(f'<testsuite name="lamina" tests="{len(self.results)}" '
                    f'failures="{self.count(FAIL)}" skipped="{self.count(SKIP)}">\n')
            for r in self.results:
                f.write(f' <testcase name={quote(r.name)} time="{r.seconds:.1f}">')
                if r.outcome == FAIL:
                    f.write(f"<failure message={quote(printable(r.detail))}/>")
                if r.outcome == SKIP:
                    f.write("<skipped/>")
                f.write("</testcase>\n")
            f.write("</testsuite>\n")

    def finish(self):
        """Print the summary; the exit code of the whole run."""
        self.write_junit()
        failed = [r.name for r in self.results if r.outcome == FAIL]
        if failed:
            print("\nfailed:")
            for name in failed:
                print(f"  {name}")
        skipped = self.count(SKIP)
        tail = f", {skipped} skipped" if skipped else ""
        print(f"\n{self.count(PASS)} passed, {len(failed)} failed{tail}", flush=True)
        return 1 if failed or not self.count(PASS) else 0


def printable(text):
    return "".join(c if c in "\n\t" or c >= " " else "?" for c in text)
