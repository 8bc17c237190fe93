#!/usr/bin/python3
"""A real Prometheus server scrapes a live run of two ranks.

- Every expression of monitoring/dashboards/cltrain.json must return a finite value while it runs.
- What the server stored is compared, scrape by scrape, with the run's own record, metrics.jsonl.
- promtool must find nothing to say about the scraped text, and monitoring/prometheus.h must name
  every metric in it, and no other.

usage: dashboard_test.py CLTRAIN CONFIG [key=value ...]
  e.g. dashboard_test.py build/bin/cltrain simclr_fashion.yaml model.width=0.25 train.steps=2000
  run.dir, metrics.*, checkpoint.every, eval.* and data.index_list (the first 600 images, so that an
  evaluation is short) are set here. The run is stopped when all is seen; train.steps should be
  enough for two minutes.
Everything is bounded in time, lives in a temporary folder and listens on 127.0.0.1 only; only
processes started here are ended. Standard library only.
"""
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "faults"))
import program as p  # noqa: E402

RANKS, SECONDS, FEWEST_SCRAPES = 2, 240, 5
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Server:
    """A Prometheus server that scrapes one target each second."""

    def __init__(self, folder, target_port):
        self.port, self.target, self.log = free_port(), f"127.0.0.1:{target_port}", folder / "log"
        config = folder / "prometheus.yml"
        config.write_text("global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
                          "scrape_configs:\n  - job_name: cltrain\n"
                          f"    static_configs: [{{targets: ['{self.target}']}}]\n")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}"],
            stdout=open(self.log, "w"), stderr=subprocess.STDOUT)

    def ask(self, path, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with opener.open(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            p.fail(f"{query}: {error.read().decode()}")

    def wait_for_target(self):
        """It takes seconds before the server knows its target: a short run would be over."""
        for _ in range(240):
            try:
                if any(t["discoveredLabels"]["__address__"] == self.target
                       for t in self.ask("targets")["activeTargets"]):
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.25)
        p.fail(f"the Prometheus server did not start:\n{self.log.read_text()[-2000:]}")

    def samples(self, series):
        """{time: value} of every scrape the server stored."""
        result = self.ask("query", query=series + "[1h]")["result"]
        p.check(len(result) == 1, f"{series}: {len(result)} series on the server, expected 1")
        return {at: float(value) for at, value in result[0]["values"]}

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=30)


def write_ids(path, count):
    """The ids 0 .. count - 1 as a .npy file."""
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({count},), }}"
    header = header.ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
                     struct.pack(f"<{count}q", *range(count)))


def expressions(panels):
    """(panel's title, expression) of a dashboard, rows included."""
    for panel in panels:
        yield from expressions(panel.get("panels", []))
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def substituted(expression, instance):
    """The expression as Grafana would send it."""
    for name, value in {"$__rate_interval": "10s", "$instance": re.escape(instance)}.items():
        expression = expression.replace(name, value.replace("\\", "\\\\"))
    p.check("$" not in expression, f"a variable that this test does not know: {expression}")
    return expression


def check_dashboard(text):
    dashboard = json.loads(text)
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    p.check({"datasource", "run", "instance"} <= names, f"variables of the dashboard: {names}")
    ids = [panel["id"] for panel in dashboard["panels"]]
    p.check(len(ids) == len(set(ids)), "two panels have the same id")
    for panel in dashboard["panels"]:
        p.check(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24,
                f"{panel['title']} is wider than the page")
        p.check(panel["type"] == "row" or panel["targets"], f"{panel['title']} shows nothing")
    return list(expressions(dashboard["panels"]))


def finite(result):
    return any(math.isfinite(float(series["value"][1])) for series in result)


def scraped(port):
    try:
        with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def watch(server, run, wanted, metrics_port):
    """Until every expression has had a finite value and enough scrapes were stored; returns the
    last scraped text."""
    end, text, pending = time.monotonic() + SECONDS, "", dict.fromkeys(wanted)
    while run.poll() is None and time.monotonic() < end:
        text = scraped(metrics_port) or text
        for title, expression in list(pending):
            result = server.ask("query", query=substituted(expression, server.target))["result"]
            if finite(result):
                del pending[title, expression]
            else:
                pending[title, expression] = result
        stored = server.ask("query", query="count_over_time(cltrain_step[1h])")["result"]
        if not pending and stored and float(stored[0]["value"][1]) >= 3 * FEWEST_SCRAPES:
            return text
        time.sleep(0.5)
    p.fail("the run is over (give it more train.steps) or time is up, and there was no finite "
           "value of\n" + "\n".join(f"  {title}: {expression}: {result}"
                              for (title, expression), result in pending.items()))


def check_text(text):
    said = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                          capture_output=True, timeout=60)
    p.check(said.returncode == 0 and not said.stdout + said.stderr,
            f"promtool: {said.stdout}{said.stderr}")
    served = set(re.findall(r"^# TYPE (\w+)", text, re.M))
    header = (SOURCE / "monitoring/prometheus.h").read_text().split("#pragma once")[0]
    named = set(re.findall(r"\bcltrain_\w*[a-z]\b(?!_\*)", header))
    p.check(served - named == set(), f"monitoring/prometheus.h does not name {served - named}")
    missing = named - served - {"cltrain_evaluation_score"}  # kNN has accuracies only
    p.check(missing == set(), f"monitoring/prometheus.h names {missing}, which is not served")
    return len(served)


def compare(server, run_dir):
    lines = {}
    for line in p.read_steps(run_dir):
        p.check(line["step"] not in lines, f"step {line['step']} is in metrics.jsonl twice")
        lines[line["step"]] = line
    rows = {0: 0}
    for step in sorted(lines):
        rows[step] = rows[step - 1] + lines[step]["samples"]
    wanted = {"cltrain_steps_total": lambda step: step, "cltrain_samples_total": rows.get}
    for series, key in {"loss": "loss", "learning_rate": "lr", "gradient_norm": "gradient_norm",
                        "samples_per_second": "samples_per_second", "epoch": "epoch",
                        "slowest_rank_lag_seconds": "slowest_lag_seconds",
                        "loader_ready_batches": "batches_ready",
                        "resident_memory_bytes": "resident_bytes"}.items():
        wanted["cltrain_" + series] = lambda step, key=key: lines[step][key]
    stored = {series: server.samples(series) for series in wanted}
    compared, different = 0, []
    for at, step in sorted(server.samples("cltrain_step").items()):
        if step == 0:
            continue
        wrong = [f"{series} is {stored[series][at]!r}, metrics.jsonl says {value(step)!r}"
                 for series, value in wanted.items()
                 if not math.isclose(stored[series][at], value(step), rel_tol=1e-12)]
        compared += 1
        if wrong:
            different.append(f"step {step:.0f}: " + "; ".join(wrong))
    print(f"{compared} scrapes compared with {len(lines)} lines, {len(different)} differ")
    print("\n".join(different))
    p.check(compared >= FEWEST_SCRAPES, f"fewer than {FEWEST_SCRAPES} scrapes met the run")
    # A scrape takes no lock: one that meets the few stores of a step may see values of two steps.
    p.check(len(different) <= 1, "more than one scrape differs")


def main():
    cltrain, config, *overrides = sys.argv[1:]
    for tool in ("prometheus", "promtool", "mpirun"):
        p.check(shutil.which(tool), f"{tool} is not installed: apt-get install prometheus")
    wanted = check_dashboard((SOURCE / "monitoring/dashboards/cltrain.json").read_text())
    with p.temporary_folder() as name:
        folder, metrics_port = pathlib.Path(name), free_port()
        run_dir, server = folder / "run", Server(folder, metrics_port)
        run = None
        try:
            server.wait_for_target()
            write_ids(folder / "ids.npy", 600)
            arguments = ["--config", config, *overrides, f"run.dir={run_dir}",
                         f"data.index_list={folder / 'ids.npy'}",
                         "metrics.enabled=true", f"metrics.port={metrics_port}", "metrics.every=5",
                         "checkpoint.every=10", "eval.enabled=true", "eval.every=10",
                         "eval.baselines=false"]
            with open(folder / "output", "w") as output:
                run = subprocess.Popen(p.Program(cltrain).command(RANKS, arguments), stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True)
            text = watch(server, run, wanted, metrics_port)
            run.send_signal(signal.SIGUSR1)  # stop with a checkpoint
            code = run.wait(timeout=120)
            p.check(code in (0, 75), f"the run ended with {code}")
            time.sleep(1.5)  # the server may be storing its last scrape
            names = check_text(text)
            compare(server, run_dir)
            print(f"{len(wanted)} expressions of the dashboard have values; {names} metrics")
        except BaseException:
            output = folder / "output"
            print("--- the run's last words\n" +
                  (output.read_text()[-3000:] if output.exists() else ""))
            raise
        finally:
            if run is not None and run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
            server.end()


if __name__ == "__main__":
    main()
