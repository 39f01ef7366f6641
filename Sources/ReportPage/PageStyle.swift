/// The style sheet of report pages.
package enum PageStyle {
    /// Plain CSS for light and dark screens; `p-…` classes colour lines and bars.
    package static let sheet = """
        :root { color-scheme: light dark; --paper: #ffffff; --panel: #f6f7f9; --ink: #16191f; --soft: #5b6472;
          --rule: #dfe3e8; --good: #11734b; --bad: #b42318; --limit: #b42318;
          --weir: #0b5fd0; --online: #6b7280; --oracle: #15803d; --ungated: #c2540a; --priority: #7c3aed;
          --budget: #94680a; --direct: #be185d; --cap: #0e7490; }
        @media (prefers-color-scheme: dark) { :root { --paper: #11141a; --panel: #191d25; --ink: #e8ebf0;
          --soft: #9aa4b2; --rule: #2b313c; --good: #4ade80; --bad: #ff8a80; --limit: #ff8a80;
          --weir: #6eaaff; --online: #a3acb9; --oracle: #56d98a; --ungated: #ff9f5a; --priority: #c3a6ff;
          --budget: #e6c04a; --direct: #ff85b3; --cap: #3cd3e8; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--paper); color: var(--ink);
          font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
        main { max-width: 1060px; margin: 0 auto; padding: 40px 24px 64px; }
        header p { margin: 4px 0; max-width: 75ch; }
        h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -0.01em; }
        h1 small { display: block; font-size: 14px; font-weight: 600; color: var(--weir); letter-spacing: 0.04em; }
        h2 { font-size: 20px; margin: 44px 0 4px; letter-spacing: -0.005em; }
        .lead { font-size: 18px; }
        .soft, figcaption, footer { color: var(--soft); font-size: 14px; }
        figcaption strong { color: var(--ink); font-size: 15px; display: block; }
        figure { margin: 20px 0 8px; }
        .scroll { overflow-x: auto; margin-top: 16px; border: 1px solid var(--rule); border-radius: 8px; }
        table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
        th, td { padding: 9px 12px; text-align: right; white-space: nowrap; }
        th { color: var(--soft); font-weight: 600; background: var(--panel); border-bottom: 1px solid var(--rule); }
        .dense { font-size: 12.5px; } .dense th, .dense td { padding: 8px 6px; }
        th[colspan] { text-align: center; }
        tr + tr td { border-top: 1px solid var(--rule); }
        th:first-child, td:first-child { text-align: left; }
        td:first-child { font-weight: 600; }
        tr.own td { background: color-mix(in srgb, var(--weir) 9%, transparent); }
        .good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
        .findings { margin: 16px 0 0; padding: 0 0 0 20px; } .findings li { margin: 4px 0; }
        .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: 0 28px; }
        .legend { display: flex; flex-wrap: wrap; gap: 6px 20px; margin: 10px 0 0; padding: 0; list-style: none;
          font-size: 14px; }
        .legend svg { width: 34px; height: 10px; vertical-align: middle; margin-right: 6px; }
        svg { display: block; width: 100%; height: auto; } .legend svg { display: inline-block; }
        svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; fill: var(--soft); }
        svg text.label { font-size: 12.5px; } svg text.name, svg text.value { font-size: 13px; fill: var(--ink); }
        svg text.value { font-variant-numeric: tabular-nums; }
        svg text.limit-label { fill: var(--limit); paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
        .grid { stroke: var(--rule); stroke-width: 1; } .axis { stroke: var(--soft); stroke-width: 1; }
        .limit { stroke: var(--limit); stroke-width: 1.5; stroke-dasharray: 5 4; }
        .line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round;
          stroke-linecap: round; }
        .area { fill: var(--c); opacity: 0.14; stroke: none; } .bar { fill: var(--c); } .track { fill: var(--panel); }
        .p-weir { --c: var(--weir); } .p-online { --c: var(--online); } .p-oracle { --c: var(--oracle); }
        .p-ungated { --c: var(--ungated); } .p-priority { --c: var(--priority); } .p-budget { --c: var(--budget); }
        .p-direct { --c: var(--direct); } .p-cap { --c: var(--cap); }
        .line.p-weir { stroke-width: 2.8; } .line.d1 { stroke-dasharray: 7 4; } .line.d2 { stroke-dasharray: 2 4; }
        .line.d3 { stroke-dasharray: 9 3 2 3; }
        footer { margin-top: 48px; padding-top: 16px; border-top: 1px solid var(--rule); }
        footer p { margin: 6px 0; max-width: 90ch; }
        """
}
