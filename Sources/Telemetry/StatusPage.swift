/// The page at `/` of the admin port: one file without outside resources, which fetches `/status.json` each second.
enum StatusPage {
    /// Allows the page its own style and script and requests to its own server, nothing else.
    static let contentSecurityPolicy =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    /// All names from the snapshot enter the page as text nodes, never as markup.
    static let html = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Weir</title>
        <style>
        :root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent);
          --realtime: #2f7ed8; --batch: #3aa76d; --bad: #d0453a; }
        body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
        h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
        p { margin: .2rem 0; opacity: .75; }
        table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
        th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
        th { font-weight: 500; opacity: .7; } th:first-child, td:first-child { text-align: left; }
        .bar { display: inline-block; width: 9rem; height: .7rem; background: var(--line); vertical-align: middle; }
        .bar i { display: block; float: left; height: 100%; }
        .down { color: var(--bad); font-weight: 600; }
        </style>
        </head>
        <body>
        <h1>Weir</h1>
        <p id="head">Loading …</p>
        <main id="main"></main>
        <p><a href="/metrics">metrics</a> · <a href="/readyz">readiness</a> · <a href="/status.json">status.json</a></p>
        <script>
        "use strict";
        function make(tag, text, parent) {
          const node = document.createElement(tag);
          if (text !== null) node.textContent = text;
          if (parent) parent.appendChild(node);
          return node;
        }
        function table(columns, rows, parent) {
          const node = make("table", null, parent), head = make("tr", null, node);
          for (const column of columns) make("th", column, head);
          for (const row of rows) {
            const line = make("tr", null, node);
            for (const cell of row) cell instanceof Node ? make("td", null, line).appendChild(cell) : make("td", cell, line);
          }
        }
        function bar(parts, whole) {
          const node = make("span", null); node.className = "bar";
          for (const [value, color] of parts) {
            const part = make("i", null, node);
            part.style.width = 100 * value / Math.max(whole, 1) + "%"; part.style.background = color;
          }
          return node;
        }
        function percent(share) { return share === undefined ? "–" : Math.round(100 * share) + " %"; }
        function thousands(count) { return count === undefined ? "–" : count.toLocaleString("en"); }
        function facts(pool, parent) {
          const lines = ["saturation " + percent(pool.saturation) + " for batch, " +
            percent(pool.admission_saturation) + " for real-time work"];
          if (pool.prompt_tokens) lines.push("engines had " + percent(pool.cached_prompt_tokens / pool.prompt_tokens) +
            " of " + thousands(pool.prompt_tokens) + " prompt tokens cached");
          const rejected = Object.entries(pool.rejected).map(([cause, count]) => count + " " + cause.replace(/_/g, " "));
          if (rejected.length) lines.push("turned away: " + rejected.join(", "));
          make("p", lines.join(" · "), parent);
          const shadow = pool.shadow;
          if (shadow && shadow.decisions) make("p", "candidate policy " + shadow.policy + ": " +
            percent(shadow.agreements / shadow.decisions) + " the same of " + thousands(shadow.decisions) + " decisions, " +
            percent(shadow.improvements / shadow.decisions) + " better, " +
            (shadow.regret_ms / shadow.decisions).toFixed(1) + " ms dearer on average", parent);
        }
        function learned(pool, parent) {
          if (!pool.endpoints.some(e => e.step_base_ms !== undefined)) return;
          table(["endpoint", "TTFT error", "TPOT error", "TTFT within p90", "step", "cached tokens", "of", "reserve", "caution",
            "batch"], pool.endpoints.map(e => [e.url, percent(e.ttft_prediction?.median_error),
            percent(e.tpot_prediction?.median_error), percent(e.ttft_prediction?.coverage),
            e.step_base_ms + " ms", thousands(e.cached_tokens), thousands(e.cache_capacity_tokens),
            e.harvest_reserve_ms + " ms", percent(e.harvest_caution), e.harvest_limit ?? "may start"]), parent);
        }
        function waiting(pool, parent) {
          if (pool.bands.length)
            table(["priority", "waiting in the gateway", "tokens", "tenants", "oldest", "fairness"], pool.bands.map(b => [
              b.priority, b.waiting, thousands(b.tokens), b.flows ?? "–",
              b.oldest_wait_s === undefined ? "–" : b.oldest_wait_s.toFixed(1) + " s", b.fairness ?? "–"]), parent);
          if (pool.flows?.length > 1)
            table(["tenant", "priority", "waiting", "tokens served"], pool.flows.map(f => [
              f.name || "(none)", f.priority, f.waiting, thousands(f.served_tokens)]), parent);
        }
        function state(up) { const node = make("span", up ? "up" : "down"); if (!up) node.className = "down"; return node; }
        function show(status) {
          document.getElementById("head").textContent =
            "version " + status.version + ", up " + status.uptime_s + " s, " + status.connections + " client connections";
          const main = make("main", null); main.id = "main";
          for (const pool of status.pools) {
            make("h2", "Pool " + pool.name, main);
            make("p", (pool.models.join(", ") || "models unknown") + " · batch " + pool.batch_requests_in_flight +
              " in flight, " + pool.allowed_batch_requests + " allowed", main);
            if (pool.saturation !== undefined) facts(pool, main);
            const most = Math.max(...pool.endpoints.map(e => e.realtime_in_flight + e.batch_in_flight), 1);
            table(["endpoint", "state", "", "real-time", "batch", "waiting", "KV"], pool.endpoints.map(e => [
              e.url, state(e.up),
              bar([[e.realtime_in_flight, "var(--realtime)"], [e.batch_in_flight, "var(--batch)"]], most),
              e.realtime_in_flight, e.batch_in_flight, e.waiting ?? "–",
              percent(e.kv_usage)]), main);
            learned(pool, main);
            waiting(pool, main);
          }
          if (status.queues.length) {
            make("h2", "Asynchronous work", main);
            table(["queue", "not finished", "held", "finished", "at the broker"],
              status.queues.map(q => [q.name, q.depth, q.leased, q.finished, q.backlog ?? "–"]), main);
          }
          document.getElementById("main").replaceWith(main);
        }
        async function refresh() {
          try {
            show(await (await fetch("/status.json")).json());
          } catch (problem) {
            document.getElementById("head").textContent = "No answer from the process: " + problem.message;
          }
          setTimeout(refresh, 1000);
        }
        refresh();
        </script>
        </body>
        </html>
        """
}
