// Two charts of what is seen of a table. Each mark is a number or two of it: it says so on hover
// and on focus, and the arrow keys go from one to the next.
const INK = { color: "var(--ink)", background: "transparent", fontFamily: "inherit", fontSize: "12px" };
const SHAPES = ["circle", "square", "triangle", "diamond", "star", "cross", "wye"];
const TICKS = [0, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10000];

// Marks become focusable, one at a time, and tell what they are of.
const reachable = (chart, marks, tell) => {
  const dim = (own) => {
    chart.classList.toggle("lit", own !== undefined);
    for (const one of chart.querySelectorAll("[data-series]")) {
      one.classList.toggle("on", one.dataset.series === own);
    }
  };
  const on = (mark) => {
    dim(mark.dataset.series);
    const [title, ...lines] = tell(mark);
    mu.tip(mark, title, ...lines);
  };
  const off = () => {
    dim();
    mu.hide();
  };
  marks.forEach((mark, place) => {
    const [title, ...lines] = tell(mark);
    mark.setAttribute("tabindex", place ? -1 : 0);
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", [title, ...lines].filter(Boolean).join("; ").replaceAll("\n", "; "));
    mark.addEventListener("mouseenter", () => on(mark));
    mark.addEventListener("focus", () => on(mark));
    mark.addEventListener("mouseleave", off);
    mark.addEventListener("blur", off);
    mark.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      const next = { Home: marks[0], End: marks.at(-1) }[event.key]
        ?? marks[(place + steps[event.key] + marks.length) % marks.length];
      if (!next) return;
      event.preventDefault();
      marks.forEach((one) => one.setAttribute("tabindex", one === next ? 0 : -1));
      next.focus();
    });
  });
};

// Labels stay inside, the uppermost of those that would lie on each other; marks in one place share
// one. What is left out is in the tip.
const thin = (svg) => {
  const edge = svg.getBoundingClientRect().right;
  const kept = [];
  for (const label of [...svg.querySelectorAll(".label text")].reverse()) {
    if (label.getBoundingClientRect().right > edge) {
      label.setAttribute("text-anchor", "end");
      label.setAttribute("x", -18);
    }
    const box = label.getBoundingClientRect();
    const on = kept.find(({ box: one }) => box.right >= one.left && box.left <= one.right
      && box.bottom >= one.top && box.top <= one.bottom);
    if (!on) {
      kept.push({ label, box });
      continue;
    }
    const same = Math.abs(box.top - on.box.top) < 3
      && Math.min(Math.abs(box.left - on.box.left), Math.abs(box.right - on.box.right)) < 3;
    if (same && on.label.textContent.length < 40) on.label.prepend(`${label.textContent}, `);
    label.remove();
  }
};

// The drawing in its place. Plot names its parts for styles; to a reader these are no names.
const put = (chart, svg) => {
  for (const one of svg.querySelectorAll("[aria-label]")) one.removeAttribute("aria-label");
  chart.replaceChildren(svg);
  chart.classList.remove("lit");
  mu.hide();
};

// What the marks of a class were drawn of: d3 binds them to their places in the data.
const bound = (svg, name, data, tag) => {
  const marks = [...svg.querySelectorAll(`.${name} ${tag}`)];
  for (const mark of marks) mark.dataset.series = data[[mark.__data__].flat()[0]].series;
  return marks;
};

const range = (points, name, log) => {
  const ends = points.flatMap((one) => [one[name], ...(one[`${name}ends`] ?? [])]);
  const low = Math.min(...ends);
  const least = Math.min(...points.map((one) => one[name]));
  const domain = [least >= 0 ? Math.max(0, low) : low, Math.max(...ends)];
  if (domain[0] === domain[1]) domain[1] += 1;
  const common = { domain, grid: true, tickFormat: (one) => `${Number(one.toPrecision(6))}` };
  const ticks = TICKS.filter((one) => one >= domain[0] && one <= domain[1]);
  const far = log && domain[1] > 2; // closer ones are no easier to read so
  return far ? { ...common, type: "symlog", constant: 0.5, ticks } : { ...common, ticks: 6 };
};

const scatter = (chart, data, points, axes, log) => {
  const whisker = { stroke: (one) => one.colour, strokeOpacity: 0.5, clip: true };
  const along = (name) => {
    const { words, bounded } = data.axes[axes[name]];
    return { ...range(points, name, log && !bounded), label: words };
  };
  const svg = Plot.plot({
    width: Math.max(260, chart.clientWidth),
    height: 380, inset: 12, marginLeft: 52, marginBottom: 40, style: INK,
    x: along("x"),
    y: along("y"),
    symbol: { domain: data.originals.map((_, place) => place), range: SHAPES },
    marks: [
      Plot.frame({ stroke: "var(--lines)" }),
      Plot.ruleX(points.filter((one) => one.yends), {
        x: "x", y1: (one) => one.yends[0], y2: (one) => one.yends[1], ...whisker,
      }),
      Plot.ruleY(points.filter((one) => one.xends), {
        y: "y", x1: (one) => one.xends[0], x2: (one) => one.xends[1], ...whisker,
      }),
      Plot.dot(points, {
        x: "x", y: "y", symbol: "original", fill: (one) => one.colour, stroke: "var(--raised)",
        r: 6.5, className: "dots",
      }),
      Plot.text(points, {
        x: "x", y: "y", text: "short", dx: 9, dy: -8, textAnchor: "start", fontSize: 11,
        stroke: "var(--raised)", strokeWidth: 3, fill: "var(--ink)", className: "label",
      }),
    ],
  });
  put(chart, svg);
  bound(svg, "label", points, "text");
  reachable(chart, bound(svg, "dots", points, "path"), (mark) => {
    const { name, words } = points[mark.__data__];
    return [name, ...words];
  });
  thin(svg);
};

const parallel = (chart, data, names, numbers) => {
  const own = names.map((name) => numbers.filter((one) => one.metric === name));
  const ends = new Map(names.map((name, place) => {
    const means = own[place].map((one) => one.mean);
    return [name, [Math.min(...means), Math.max(...means)]];
  }));
  const place = (one) => {
    const [low, high] = ends.get(one.metric);
    return low === high ? 0.5 : (one.mean - low) / (high - low);
  };
  const points = own.flat().map((one) => ({ ...one, place: place(one) }));
  const texts = names.flatMap((name) => [0, 1].map((end) => {
    const at = points.find((one) => one.metric === name && one.mean === ends.get(name)[end]);
    return { name, end, text: at.value };
  })).filter((one) => one.end || ends.get(one.name)[0] !== ends.get(one.name)[1]);
  const svg = Plot.plot({
    width: Math.max(260, chart.clientWidth),
    height: 70 + 44 * names.length, marginLeft: 64, marginRight: 20, marginTop: 26, marginBottom: 8,
    style: INK, inset: 8,
    x: { domain: [0, 1], axis: null },
    y: { type: "point", padding: 0.25, domain: names, label: null, tickSize: 0 },
    symbol: { domain: data.originals.map((_, number) => number), range: SHAPES },
    marks: [
      Plot.ruleY(names, { stroke: "var(--lines)" }),
      ...[true, false].map((oracle) => Plot.line(points, {
        filter: (one) => (one.kind === "oracle") === oracle,
        x: "place", y: "metric", z: "series", stroke: (one) => one.colour, strokeWidth: 1.8,
        strokeDasharray: oracle ? "5 4" : null, className: "lines",
      })),
      Plot.dot(points, {
        x: "place", y: "metric", symbol: "original", fill: (one) => one.colour,
        stroke: "var(--raised)", r: 5, className: "dots",
      }),
      Plot.text(texts, {
        x: "end", y: "name", text: "text", dy: -14, fontSize: 10.5, fill: "var(--soft)",
        textAnchor: "middle", stroke: "var(--raised)", strokeWidth: 4,
      }),
    ],
  });
  put(chart, svg);
  bound(svg, "lines", points, "path");
  reachable(chart, bound(svg, "dots", points, "path"), (mark) => {
    const { name, words } = points[mark.__data__];
    return [name, ...words];
  });
};

for (const box of window.Plot ? document.querySelectorAll(".charts") : []) {
  const group = Number(box.dataset.group);
  const data = mu.data[group];
  const [one, all] = box.querySelectorAll(".chart");
  const selects = { x: box.querySelector("[name=x]"), y: box.querySelector("[name=y]") };
  const log = box.querySelector("[name=log]");
  const names = Object.keys(data.axes);
  const usual = names.includes("gap") ? { x: "RTE", y: "gap" } : { x: "TA", y: "UA" };

  const points = (seen) => data.cells
    .filter((cell) => seen.rows.has(cell.row) && seen.originals.has(cell.original))
    .map((cell) => {
      const row = data.rows[cell.row];
      const several = seen.originals.size > 1;
      const place = `${row.label}, ${data.originals[cell.original].label}`;
      return {
        ...cell, colour: row.colour, kind: row.kind, series: `${cell.row} ${cell.original}`,
        name: several || data.originals.length > 1 ? place : row.label,
        short: row.label.length > 22 ? `${row.label.slice(0, 21)}…` : row.label,
        words: [`${cell.metric} ${cell.text}`, cell.more], value: cell.text.split(" ")[0],
      };
    });
  const pairs = (numbers, axes) => {
    const across = new Map(numbers.filter((number) => number.metric === axes.x)
      .map((number) => [number.series, number]));
    return numbers.filter((number) => number.metric === axes.y && across.has(number.series))
      .map((number) => {
        const other = across.get(number.series);
        const words = axes.x === axes.y ? number.words : [other.words[0], ...number.words];
        return {
          ...number, words, x: other.mean, xends: other.ends, y: number.mean, yends: number.ends,
        };
      });
  };
  const draw = () => {
    const seen = mu.seen[group];
    const numbers = points(seen);
    const axes = { x: selects.x.value, y: selects.y.value };
    const both = pairs(numbers, axes);
    const empty = (chart) => { chart.textContent = "Nothing that is chosen has these numbers."; };
    if (both.length) scatter(one, data, both, axes, log.checked);
    else empty(one);
    const metrics = [...seen.metrics].map((place) => data.metrics[place].label);
    const shown = metrics.filter((name) => numbers.some((number) => number.metric === name));
    if (shown.length) parallel(all, data, shown, numbers);
    else empty(all);
  };
  for (const [axis, select] of Object.entries(selects)) {
    const kept = mu.state.get(`${axis}${group}`);
    select.value = [kept, usual[axis]].find((name) => names.includes(name)) ?? names[0];
    select.addEventListener("change", () => {
      draw();
      mu.keep(`${axis}${group}`, [select.value]);
    });
  }
  log.checked = !mu.state.has(`linear${group}`);
  log.addEventListener("change", () => {
    draw();
    mu.keep(`linear${group}`, log.checked ? [] : ["1"]);
  });
  for (const mark of document.querySelectorAll(`.bench[data-group="${group}"] .mark`)) {
    const place = mark.parentElement.querySelector("input").value % SHAPES.length;
    const shape = d3[`symbol${SHAPES[place][0].toUpperCase()}${SHAPES[place].slice(1)}`];
    d3.select(mark).append("path").attr("d", d3.symbol(shape, 90)());
  }
  box.hidden = false;
  document.documentElement.classList.add("charted");
  let width = one.clientWidth;
  draw();
  new ResizeObserver(() => {
    if (one.clientWidth === width) return;
    width = one.clientWidth;
    requestAnimationFrame(draw); // what is drawn here and now would be observed, too
  }).observe(one);
  mu.changed.push((changed) => changed === group && draw());
}
