// What is seen of a table: chosen rows, originals and columns, and its copy as text.
mu.changed = []; // called when what is seen of a group changes, with its number
mu.seen = []; // of each group: sets of numbers of rows, originals and metrics

for (const bench of document.querySelectorAll(".bench")) {
  const group = Number(bench.dataset.group);
  const data = mu.data[group];
  const table = bench.parentElement.querySelector("table.main");
  const lines = [...table.tBodies].flatMap((body) => [...body.rows]);
  const numbers = new Map(lines.map((line) => [line, Number(line.dataset.row)]));
  const blocks = [...table.tHead.rows[0].cells].slice(1);
  const heads = [...table.tHead.rows[1].cells];
  const width = data.metrics.length;
  const find = bench.querySelector("[name=find]");
  const kinds = ["rows", "originals", "metrics"];
  const boxes = Object.fromEntries(kinds.map((kind) =>
    [kind, [...bench.querySelectorAll(`[data-kind=${kind}] input`)]]));

  const apply = () => {
    const seen = Object.fromEntries(kinds.map((kind) =>
      [kind, new Set(boxes[kind].filter((one) => one.checked).map((one) => Number(one.value)))]));
    for (const [place, row] of data.rows.entries()) {
      const found = row.kind === "oracle" || mu.has(row.label, find.value.trim());
      if (!found) seen.rows.delete(place);
    }
    const columns = heads.map((_, place) =>
      seen.originals.has(Math.floor(place / width)) && seen.metrics.has(place % width));
    blocks.forEach((block, place) => {
      block.hidden = !seen.originals.has(place) || !seen.metrics.size;
      block.colSpan = Math.max(1, seen.metrics.size);
    });
    const first = Math.min(...seen.metrics);
    const show = (cell, place) => {
      cell.hidden = !columns[place];
      cell.classList.toggle("first", place % width === first);
    };
    heads.forEach(show);
    for (const [line, number] of numbers) {
      line.hidden = !seen.rows.has(number);
      [...line.cells].slice(1).forEach(show);
    }
    mu.seen[group] = seen;
    for (const tell of mu.changed) tell(group);
  };

  // Kept in the address: what is not seen, since that is little.
  const keep = () => {
    for (const kind of kinds) {
      const off = boxes[kind].filter((one) => !one.checked);
      mu.keep(`${kind}${group}`, off.map((one) => data[kind][one.value].label));
    }
    mu.keep(`find${group}`, find.value ? [find.value] : []);
  };
  const change = () => {
    apply();
    keep();
  };
  bench.addEventListener("input", change);
  bench.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button || button.dataset.copy) return;
    if ("set" in button.dataset) {
      const own = boxes[button.closest("fieldset").dataset.kind];
      own.forEach((one) => { one.checked = Boolean(button.dataset.set); });
    } else {
      Object.values(boxes).flat().forEach((one) => { one.checked = true; });
      find.value = "";
    }
    change();
  });

  // The table as it is seen, in this order of rows.
  const parts = (form) => {
    const seen = mu.seen[group];
    const at = new Map(data.cells.map((cell) => [`${cell.row} ${cell.original} ${cell.metric}`, cell]));
    const shown = [...table.tBodies].flatMap((body) => [...body.rows]).filter((line) => !line.hidden);
    const columns = [...seen.originals].flatMap((original) =>
      [...seen.metrics].map((metric) => ({ original, metric })));
    const absent = form === "latex" ? "--" : "-";
    const rows = shown.map((line) => {
      const row = numbers.get(line);
      return [data.rows[row][form], ...columns.map(({ original, metric }) =>
        at.get(`${row} ${original} ${data.metrics[metric].label}`)?.[form] ?? absent)];
    });
    return { columns, rows };
  };
  const write = {
    markdown: () => {
      const { columns, rows } = parts("markdown");
      const several = mu.seen[group].originals.size > 1;
      const names = columns.map(({ original, metric }) => several
        ? `${data.metrics[metric].markdown} ${data.originals[original].markdown}`
        : data.metrics[metric].markdown);
      const line = (texts) => `| ${texts.join(" | ")} |`;
      return [line(["", ...names]), `|---|${"---:|".repeat(names.length)}`, ...rows.map(line), ""].join("\n");
    },
    latex: () => {
      const { columns, rows } = parts("latex");
      const { originals, metrics } = mu.seen[group];
      const line = (texts) => `${texts.join(" & ")} \\\\`;
      const title = (one) => `\\multicolumn{${metrics.size}}{c}{\\textbf{${data.originals[one].latex}}}`;
      return [
        `\\begin{tabular}{l${"r".repeat(columns.length)}}`,
        "\\toprule",
        line(["", ...[...originals].map(title)]),
        line(["Method", ...columns.map(({ metric }) => data.metrics[metric].latex)]),
        "\\midrule",
        ...rows.map(line),
        "\\bottomrule",
        "\\end{tabular}",
        "",
      ].join("\n");
    },
  };
  const text = bench.querySelector("textarea");
  const status = bench.querySelector("[role=status]");
  for (const button of bench.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => {
      text.value = write[button.dataset.copy]();
      text.hidden = false;
      text.select();
      const done = document.execCommand("copy"); // the newer way is blocked in MLflow's frame
      status.textContent = done ? "Copied." : "Copy it from here (Ctrl+C).";
      text.hidden = done;
      if (done) button.focus();
    });
  }

  for (const kind of kinds) {
    const off = new Set(mu.state.getAll(`${kind}${group}`));
    for (const one of boxes[kind]) one.checked = !off.has(data[kind][one.value].label);
  }
  find.value = mu.state.get(`find${group}`) ?? "";
  bench.hidden = false;
  apply();
}
