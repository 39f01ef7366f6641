"""Three ledgers of the same requests: what clients saw, what Weir wrote and counted, what the model servers counted."""

import collections
import datetime
import json


class AccessLog:
    """The lines of the access log, read as they come."""

    def __init__(self, path):
        self.path, self.place, self.lines = path, 0, []

    def read(self):
        with open(self.path, "rb") as file:
            file.seek(self.place)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self.place += whole
        self.lines += [json.loads(line) for line in data[:whole].splitlines()]
        return self.lines


class Checks:
    """Named comparisons; each holds or says why not."""

    def __init__(self):
        self.rows = []

    def equal(self, name, first, second):
        """Two numbers, or two tallies that must agree for every key."""
        if isinstance(first, dict):
            off = {key: (first.get(key, 0), second.get(key, 0)) for key in {*first, *second}
                   if first.get(key, 0) != second.get(key, 0)}
            shown = f"{sum(first.values()):,.0f} in {len([value for value in first.values() if value])} kinds"
            self.hold(name, not off, shown if not off else f"{len(off)} differ, such as {dict(list(off.items())[:4])}")
        else:
            self.hold(name, first == second, f"{first:,.0f}" if first == second else f"{first:,.0f} and {second:,.0f}")

    def none(self, name, offenders):
        offenders = list(offenders)
        self.hold(name, not offenders, "none" if not offenders else f"{len(offenders)}, such as {offenders[:3]}")

    def hold(self, name, holds, shown):
        self.rows.append({"check": name, "holds": bool(holds), "value": shown})

    @property
    def failed(self):
        return [row for row in self.rows if not row["holds"]]


def requests(checks, asked, log, page):
    """Every request that a client sent was ended once, and as its client saw it."""
    # Questions about decisions are answered beside the log.
    asked = [one for one in asked if one.kind != "receipt"]
    lines = collections.defaultdict(list)
    for line in log:
        lines[line["access"]].append(line)
    checks.none("client requests without one line in the access log",
                ((one.id, one.kind, one.leaves, len(lines[one.id])) for one in asked if len(lines[one.id]) != 1))
    checks.none("client requests that failed in an unknown way",
                ((one.id, one.status, one.error) for one in asked if not (one.whole or one.left or one.cut)))
    known = [(one, lines[one.id][0]) for one in asked if len(lines[one.id]) == 1]
    checks.none("answers whose status differs from the log",
                ((one.id, one.status, line["status"]) for one, line in known if one.status not in (None, line["status"])))
    # One who leaves may have been answered before Weir hears of it, never the other way round.
    checks.none("departures that no client made",
                (one.id for one, line in known if line.get("client_aborted") and not one.left))
    checks.equal("answers with a tenant, by tenant and status",
                 collections.Counter((one.tenant, one.status) for one, _ in known if one.tenant and one.whole),
                 collections.Counter((line.get("tenant"), line["status"]) for one, line in known if one.tenant and one.whole))
    checks.equal("drops that clients were told of, by reason",
                 collections.Counter(one.reason for one, _ in known if one.reason and one.whole),
                 collections.Counter(line["drop_reason"] for one, line in known if "drop_reason" in line and one.whole))
    counted = collections.Counter(
        (line.get("pool", "none"), str(line["priority"]), f"{line['status'] // 100}xx") for line in log)
    checks.equal("weir_requests_total by pool, band, status", counted, page.by("weir_requests_total", "pool", "band", "status"))
    checks.equal("weir_aborted_total{client} by pool",
                 collections.Counter(line.get("pool", "none") for line in log if line.get("client_aborted")),
                 page.by("weir_aborted_total", "pool", reason="client"))
    checks.equal("weir_dropped_total by pool and reason",
                 collections.Counter((line.get("pool", "none"), line["drop_reason"]) for line in log if "drop_reason" in line),
                 page.by("weir_dropped_total", "pool", "reason"))
    checks.equal("weir_gateway_queue_seconds_count",
                 sum(line["attempts"] > 0 for line in log), page.sum("weir_gateway_queue_seconds_count"))
    checks.equal("weir_aborted_total{brake} by pool",
                 collections.Counter(line["pool"] for line in log if line.get("drop_reason", "").startswith("evicted")),
                 page.by("weir_aborted_total", "pool", reason="brake"))
    again = sum(max(0, line["attempts"] - 1) for line in log)
    checks.hold("weir_retries_total", again <= page.sum("weir_retries_total") <= again + sum(
        line["status"] != 200 for line in log), f"{page.sum('weir_retries_total'):.0f}, {again} of them placed again")
    # A sheddable answer whose first bytes pass the scheduler's call-back on their way breaks off too.
    called_back = {one.id for one, line in known if line.get("drop_reason", "").startswith("evicted")}
    checks.equal("answers that broke off",
                 sum(one.cut and one.id not in called_back for one in asked), page.sum("weir_aborted_total", reason="endpoint"))
    return known


def tokens(checks, known, log, results, page):
    """Tokens in and out, as answers told them, were counted once."""
    answered = [(one, line) for one, line in known if one.kind == "chat" and one.whole and one.status == 200]
    checks.none("answers whose usage is not what was asked and streamed",
                ((one.id, one.usage, one.prompt_tokens, one.events) for one, _ in answered
                 if one.usage and (one.usage["prompt_tokens"] != one.prompt_tokens
                                   or one.events and one.usage["completion_tokens"] != one.events)))
    checks.none("answers whose tokens the log tells otherwise",
                ((one.id, one.usage, one.events, line.get("output_tokens")) for one, line in answered
                 if line.get("output_tokens") != (one.usage["completion_tokens"] if one.usage else one.events)))
    prompt, output = collections.Counter(), collections.Counter()
    by_id = {one.id: one for one, _ in known}
    left = 0
    for line in log:
        if line["status"] >= 400 or "pool" not in line or "queued_request" in line:
            continue
        key = (line["pool"], "async" if line["priority"] < 0 else "realtime")
        one = by_id.get(line["access"])
        prompt[key] += line["prompt_tokens"] if one is None or "prompt_tokens" in line else one.prompt_tokens
        output[key] += line.get("output_tokens", 0)
        if one and one.left and not one.events <= line.get("output_tokens", 0) <= one.limit:
            left += 1
    checks.equal("weir_prompt_tokens_total by pool and class", prompt, page.by("weir_prompt_tokens_total", "pool", "class"))
    checks.equal("weir_output_tokens_total by pool and class", output, page.by("weir_output_tokens_total", "pool", "class"))
    checks.equal("broken-off streams with tokens outside of what can be", left, 0)
    told = [one.usage for one, _ in answered if one.usage]
    told += [json.loads(result["payload"])["usage"] for result in results if result.get("status_code") == 200]
    gone = [line for one, line in known if one.left and line["status"] == 200 and not line.get("client_aborted")]
    ours = sum(line.get("prompt_tokens", 0) for line in gone)
    checks.equal("weir_engine_prompt_tokens_total", sum(usage["prompt_tokens"] for usage in told) + ours,
                 page.sum("weir_engine_prompt_tokens_total"))
    if not gone:
        checks.equal("weir_engine_cached_prompt_tokens_total",
                     sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in told),
                     page.sum("weir_engine_cached_prompt_tokens_total"))


def engines(checks, asked, log, counts, machines):
    """What was placed on an endpoint is what its model server counted.

    Model servers count whole answers and departures, not what they refuse or break off.
    """
    cut = {one.id for one in asked if one.cut}
    whole, ended, early = collections.Counter(), collections.Counter(), collections.Counter()
    for line in log:
        # 499: the client left; 504: the model server was given up.
        refused = line["status"] >= 400 and line["status"] not in (499, 504) and "drop_reason" not in line
        if not line["attempts"] or refused or line["access"] in cut:
            continue
        ended[line["endpoint"]] += 1
        if line["status"] == 200 and not line.get("client_aborted"):
            whole[line["endpoint"]] += 1
        elif "ttft_ms" not in line:
            early[line["endpoint"]] += 1
    for machine in machines:
        count, name = counts[machine.name], machine.name
        there = count["finished"] + count["aborted"]
        # Who ends before the answer begins may end before the request has gone out at all.
        least = ended[name] - early[name]
        shown = f"{ended[name]:,} placed, {early[name]:,} of them left at once, {there:,.0f} counted there"
        if machine.deaths:
            # What ended between the last look at it and a moment after its death may be in no count.
            lost = sum(line["endpoint"] == name and near(line, machine.deaths) for line in log if line["attempts"])
            least -= lost
            shown += f", {lost} around {len(machine.deaths)} deaths"
        else:
            gone = ended[name] - early[name] - whole[name]
            checks.hold(f"whole answers of {name}", whole[name] <= count["finished"] <= whole[name] + gone,
                        f"{whole[name]:,}, {count['finished']:,.0f} there, {gone:,} that clients left in the middle")
        checks.hold(f"requests ended at {name}", least <= there <= ended[name], shown)


def near(line, deaths):
    """Whether a request ended around a death; the log tells times to the millisecond, a little after the fact."""
    at = datetime.datetime.fromisoformat(line["time"]).timestamp()
    return any(asked - 0.1 <= at <= dead + 2 for asked, dead in deaths)


def quiet(checks, page, counts, name):
    """Nothing is under way: every gauge says so, on both sides."""
    gauges = [
        "weir_requests_in_flight", "weir_queue_depth", "weir_queue_bytes", "weir_queue_tokens", "weir_queue_flows",
        "weir_connections", "weir_async_leased_messages", "weir_async_queue_depth", "weir_async_waiting_connections",
        "weir_async_delayed_messages", "weir_flow_waiting_requests",
    ]
    checks.none(f"gauges above 0 at {name}", ((gauge, page.sum(gauge)) for gauge in gauges if page.sum(gauge) != 0))
    checks.equal(f"requests inside model servers at {name}",
                 sum(count["running"] + count["waiting"] for count in counts.values()), 0)
    checks.equal(f"lost log lines and overflown series at {name}",
                 page.sum("weir_log_lines_dropped_total") + page.sum("weir_metric_series_overflow_total"), 0)


def queue(checks, submitted, asked, cancelled, results, log, page):
    """Everything that was accepted has exactly one result."""
    expected = submitted | {one.queued for one in asked if one.queued and one.kind in ("enqueue", "wait")}
    found = collections.Counter(result["id"] for result in results)
    checks.none("messages without exactly one result", (id for id in expected if found[id] != 1))
    checks.none("results that nobody asked for", (id for id in found if id not in expected))
    outcomes = collections.Counter(outcome(result) for result in results)
    checks.equal("weir_async_results_total by outcome", outcomes, page.by("weir_async_results_total", "outcome"))
    checks.none("cancelled ones with another result",
                (result["id"] for result in results if result["id"] in cancelled and outcome(result) != "cancelled"))
    clients = {one.id for one in asked}
    sent = [line for line in log if line["access"] not in clients and line["attempts"]]
    checks.equal("weir_async_dispatched_total", len(sent), page.sum("weir_async_dispatched_total"))
    checks.equal("attempts that results tell of", sum(result["attempts"] for result in results), len(sent))
    checks.equal("messages answered by a model server", sum(line["status"] == 200 for line in sent), outcomes["succeeded"])
    # Some are called back before they have been sent.
    evicted = sum(line["access"] not in clients and line.get("drop_reason", "").startswith("evicted") for line in log)
    checks.equal("weir_async_setbacks_total{eviction}", page.sum("weir_async_setbacks_total", reason="eviction"), evicted)


def outcome(result):
    """As the metrics call it."""
    if result.get("status_code") == 200:
        return "succeeded"
    return {"DEADLINE_EXCEEDED": "expired", "CANCELLED": "cancelled"}.get(result.get("error_code"), "failed")
