"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  document.documentElement.classList.add("scripted");
  const by = (id) => document.getElementById(id);
  const colour = (name) => `var(--c-${name})`;
  const paper = { background: "none", color: "var(--ink)", fontFamily: "inherit" };
  const percent = (share) => {
    if (share > 0 && share < 0.00005) return "<0.01 %";
    if (share < 1 && share > 0.99995) return ">99.99 %";
    return `${Number((100 * share).toPrecision(4))} %`;
  };
  const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const ending = (text, most) => (text.length > most ? `…${text.slice(1 - most)}` : text);
  const tip = { fill: "var(--raised)", stroke: "var(--lines)", fontSize: 12, lineHeight: 1.35 };

  // Charts are as wide as their boxes, and drawn again when these change.
  const charts = new Map();
  const draw = (box) => {
    const width = Math.floor(box.clientWidth);
    if (width < 50) return;
    const chart = charts.get(box)(width);
    const svg = chart.matches("svg") ? chart : chart.querySelector("svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-labelledby", box.getAttribute("aria-labelledby"));
    // What is drawn is in tables too; a hundred unnamed marks help nobody who listens.
    for (const part of svg.children) part.setAttribute("aria-hidden", "true");
    for (const part of svg.querySelectorAll("g[aria-label]")) part.removeAttribute("aria-label");
    box.replaceChildren(chart);
    box.dataset.width = width;
  };
  const watcher = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (Number(target.dataset.width) !== Math.floor(target.clientWidth)) draw(target);
    }
  });
  const chart = (id, make) => {
    const box = by(id);
    if (!box) return;
    charts.set(box, make);
    draw(box);
    watcher.observe(box);
  };

  // --- accuracy by class ---
  chart("accuracy", (width) => {
    const names = [...new Map(data.accuracy.map((one) => [one.place, one.name]))];
    const label = new Map(names);
    const longest = Math.max(...names.map(([, name]) => cut(name, 18).length));
    return Plot.plot({
      width, height: 50 + 26 * names.length, marginLeft: 14 + 7 * longest, marginTop: 8, marginBottom: 36, style: paper,
      x: { domain: [0, 100], label: "% right", grid: true, ticks: 5, labelAnchor: "center", labelArrow: "none" },
      y: { domain: names.map(([place]) => place), label: null, tickFormat: (place) => cut(label.get(place), 18), tickSize: 0 },
      marks: [
        Plot.ruleY(data.accuracy, Plot.groupY({ x1: "min", x2: "max" }, { x1: "value", x2: "value", y: "place", stroke: "var(--lines)", strokeWidth: 3 })),
        // One above the other, or the last would hide those of the same value.
        ...data.roles.map((role, line) => Plot.dot(data.accuracy.filter((one) => one.role === role), {
          x: "value", y: "place", dy: 7 * (line - (data.roles.length - 1) / 2), r: 4.5, fill: colour(role),
          title: (one) => `${one.name}, ${one.role}: ${one.value.toFixed(1)} %`, tip,
        })),
      ],
    });
  });

  // --- the attack's threshold ---
  const { low, high, counts } = data.scores;
  const bins = Object.values(Object.values(counts)[0])[0].length;
  const edge = (place) => low + ((high - low) * place) / bins;
  const share = (odds) => 1 / (1 + Math.exp(-odds));
  const total = (list, from = 0) => list.slice(from).reduce((sum, one) => sum + one, 0);
  const TOGETHER = 4; // bins of counts that a picture shows as one
  const shares = Object.entries(counts).flatMap(([role, parts]) =>
    Object.entries(parts).flatMap(([part, list]) => {
      const all = total(list);
      return Array.from({ length: bins / TOGETHER }, (_, step) => ({
        role, part, x1: edge(step * TOGETHER), x2: edge((step + 1) * TOGETHER),
        share: (100 * total(list.slice(step * TOGETHER, (step + 1) * TOGETHER))) / all,
      }));
    }));
  const lines = shares.flatMap((one) => [{ ...one, x: one.x1 }, { ...one, x: one.x2 }]);
  const marks = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 - 1e-6, 1 - 1e-8, 1 - 1e-10, 1e-4, 1e-6, 1e-8]
    .map((one) => Math.log(one / (1 - one))).filter((one) => one > low && one < high).sort((a, b) => a - b);
  if (marks.length < 3) marks.splice(0, marks.length, ...d3.ticks(low, high, 5));
  const named = (odds) => {
    const lacks = share(-odds);
    if (lacks < 0.0005) return `1−10${[..."⁻" + Math.round(-Math.log10(lacks))].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? c).join("")}`;
    return share(odds) < 0.0005 ? `10${[..."⁻" + Math.round(-Math.log10(share(odds)))].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? c).join("")}` : `${Number((100 * share(odds)).toPrecision(4))} %`;
  };
  let places = { ...data.scores.places };
  let scoresX = null;
  chart("scores", (width) => {
    const room = Math.max(2, Math.floor((width - 60) / 62));
    const every = Math.ceil(marks.length / room);
    const found = Plot.plot({
      width, height: 40 + 118 * data.roles.length, marginLeft: 44, marginRight: 22, marginBottom: 36, style: paper,
      x: { domain: [low, high], label: "probability of the true class, by its log-odds →", ticks: marks.filter((_, i) => i % every === 0), tickFormat: named, labelAnchor: "right" },
      y: { label: "% of the samples", type: "sqrt", grid: true, ticks: [1, 5, 20, 50, 100].filter((one) => one <= 1.2 * Math.max(...shares.map((s) => s.share))), labelAnchor: "top", labelArrow: "none" },
      fy: { domain: data.roles, label: null, axis: null, padding: 0.12 },
      marks: [
        Plot.areaY(lines.filter((one) => one.part === "forget"), { x: "x", y1: 0, y2: "share", fy: "role", fill: colour("forget"), fillOpacity: 0.18 }),
        Plot.lineY(lines, { x: "x", y: "share", fy: "role", z: "part", stroke: (one) => colour(one.part), strokeWidth: 1.6 }),
        Plot.ruleX(data.roles, { x: (role) => edge(places[role]), fy: (role) => role, stroke: "var(--ink)", strokeWidth: 2 }),
        Plot.text(data.roles, { text: (role) => role, fy: (role) => role, frameAnchor: "top-left", dx: 6, dy: 4, fontWeight: 650, fill: (role) => colour(role) }),
        Plot.text(data.roles, { x: (role) => edge(places[role]), text: () => "member →", fy: (role) => role, frameAnchor: "top", textAnchor: "start", dx: 6, dy: 4, fill: "var(--soft)" }),
        Plot.frame({ stroke: "var(--lines)" }),
      ],
    });
    scoresX = found.scale("x");
    return found;
  });
  const slider = by("threshold");
  const show = (own) => {
    const rows = [...by("rates").tBodies[0].rows];
    for (const row of rows) {
      const { role } = row.dataset;
      for (const cell of row.querySelectorAll("[data-cell]")) {
        const part = cell.dataset.cell;
        cell.textContent = part === "threshold" ? percent(share(edge(places[role])))
          : ((100 * total(counts[role][part], places[role])) / total(counts[role][part])).toFixed(2);
      }
    }
    by("at").textContent = own ? "each model's own" : percent(share(edge(Number(slider.value))));
    slider.setAttribute("aria-valuetext", percent(share(edge(Number(slider.value)))));
    by("rates-caption").textContent = own ? ownCaption : `Called members, in percent, by one threshold for all models, ${percent(share(edge(Number(slider.value))))}:`;
    if (charts.has(by("scores"))) draw(by("scores"));
  };
  const ownCaption = by("rates-caption").textContent;
  const move = (place) => {
    slider.value = place;
    places = Object.fromEntries(data.roles.map((role) => [role, Number(slider.value)]));
    show(false);
  };
  const reset = () => {
    places = { ...data.scores.places };
    slider.value = places.unlearned;
    show(true);
  };
  slider.addEventListener("input", () => move(slider.value));
  by("own").addEventListener("click", reset);
  let dragged = null;
  const drag = (event) => {
    const left = by("scores").getBoundingClientRect().left;
    const odds = scoresX.invert(event.clientX - left);
    move(Math.round(((odds - low) / (high - low)) * bins));
  };
  by("scores").addEventListener("pointerdown", (event) => {
    dragged = event.pointerId;
    by("scores").setPointerCapture(dragged);
    drag(event);
  });
  by("scores").addEventListener("pointermove", (event) => event.pointerId === dragged && drag(event));
  for (const kind of ["pointerup", "pointercancel"]) by("scores").addEventListener(kind, () => { dragged = null; });
  reset();

  // --- features ---
  if (data.points) {
    const { points } = data;
    const words = { forget: "forget set", retain: "retain set", unseen: "unseen images of its classes" };
    const all = points.numbers.map((number, i) => ({
      number, part: points.parts[i], label: points.names[points.labels[i]], code: points.labels[i],
      answers: points.answers, before: points.before[i], after: points.after[i], i,
    }));
    const said = (one, role) => points.names[points.answers[role][one.i]];
    const codes = Object.keys(points.names).map(Number);
    const palette = codes.length <= 10 ? d3.schemeTableau10 : codes.map((_, i) => d3.interpolateSinebow(i / codes.length));
    const ofClass = new Map(codes.map((code, i) => [code, palette[i]]));
    const extent = (axis) => {
      const [least, most] = d3.extent([...points.before, ...points.after], (one) => one[axis]);
      const more = 0.05 * (most - least || 1);
      return [least - more, most + more];
    };
    const domains = [extent(0), extent(1)];
    const painted = (one, role) => {
      const how = by("colour").value;
      return how === "part" ? colour(one.part)
        : ofClass.get(how === "label" ? one.code : points.answers[role][one.i]);
    };
    const panel = (id, role) => chart(id, (width) => {
      const found = Plot.plot({
        width, height: Math.min(width, 420), margin: 8, style: paper,
        x: { domain: domains[0], axis: null }, y: { domain: domains[1], axis: null },
        symbol: { domain: ["retain", "unseen", "forget"], range: ["circle", "square", "triangle"] },
        marks: [
          Plot.frame({ stroke: "var(--lines)" }),
          Plot.dot(all, {
            x: (one) => one[id][0], y: (one) => one[id][1], symbol: "part",
            sort: (one) => (one.part === "forget" ? 1 : 0),
            fill: (one) => painted(one, role), r: (one) => (one.part === "forget" ? 4.2 : 2.6),
            fillOpacity: 0.75, stroke: (one) => (one.part === "forget" ? "var(--ink)" : "none"), strokeWidth: 0.6,
            title: (one) => `${words[one.part]}, ${one.part === "unseen" ? "test image" : "sample"} ${one.number}\ntrue class: ${one.label}\noriginal says: ${said(one, "original")}\nunlearned says: ${said(one, "unlearned")}`,
            tip,
          }),
        ],
        r: { type: "identity" },
      });
      found.addEventListener("click", () => {
        const one = found.value;
        const card = one && one.part !== "unseen" && by(`${one.part[0]}-${one.number}`);
        if (!card) return;
        document.querySelectorAll(".found").forEach((old) => old.classList.remove("found"));
        reveal(card);
        card.classList.add("found");
        card.scrollIntoView({ block: "center" });
      });
      return found;
    });
    const key = () => {
      const entries = by("colour").value === "part"
        ? [...new Set(points.parts)].map((part) => [words[part], colour(part)])
        : codes.slice(0, 20).map((code) => [points.names[code], ofClass.get(code)]);
      by("points-key").replaceChildren(...entries.map(([name, tone]) => {
        const item = document.createElement("li");
        const mark = document.createElement("span");
        mark.className = "swatch";
        mark.style.setProperty("--colour", tone);
        item.append(mark, name);
        return item;
      }));
    };
    key();
    panel("before", "original");
    panel("after", "unlearned");
    by("colour").addEventListener("change", () => {
      key();
      ["before", "after"].forEach((id) => draw(by(id)));
    });
  }

  // --- layers ---
  chart("moved", (width) => {
    const names = [...new Set(data.layers.map((one) => one.name))];
    const roles = [...new Set(data.layers.map((one) => one.role))];
    const margin = Math.min(16 + 6.4 * Math.max(7, ...names.map((name) => name.length)), width / 2.4);
    return Plot.plot({
      width, height: 50 + 19 * names.length, marginLeft: margin, marginTop: 26, style: paper,
      x: { label: null, grid: true, axis: "top", ticks: Math.max(2, Math.floor(width / 110)) },
      y: { domain: names, label: null, tickSize: 0, tickFormat: (name) => ending(name || "network", margin / 6.4 - 1) },
      color: { domain: roles, range: roles.map(colour) },
      marks: [
        Plot.barX(data.layers.filter((one) => one.role === "unlearned"), { x: "value", y: "name", fill: "role", insetTop: 3, insetBottom: 3, title: (one) => `${one.name}, ${one.role}: ${one.value}`, tip }),
        Plot.tickX(data.layers.filter((one) => one.role === "oracle"), { x: "value", y: "name", stroke: "role", strokeWidth: 3, title: (one) => `${one.name}, ${one.role}: ${one.value}` }),
        Plot.ruleX([0]),
      ],
    });
  });

  // --- records ---
  const FIRST = 24; // that are shown until all are asked for
  const lists = new Map([...document.querySelectorAll(".cards")].map((list) => [list.id, {
    list, cards: [...list.children], wanted: "", most: FIRST, more: document.querySelector(`.more[aria-controls="${list.id}"]`),
  }]));
  const refresh = (one) => {
    const fitting = one.cards.filter((card) => one.wanted === "" || card.dataset[one.wanted] === "yes");
    one.cards.forEach((card) => { card.hidden = true; });
    fitting.slice(0, one.most).forEach((card) => { card.hidden = false; });
    one.more.hidden = fitting.length <= one.most;
    one.more.textContent = `Show all ${fitting.length}`;
    return fitting.length;
  };
  const reveal = (card) => {
    const one = lists.get(card.parentElement.id);
    if (card.hidden) {
      one.most = Infinity;
      one.wanted = "";
      filter(one.wanted);
    }
  };
  for (const one of lists.values()) {
    refresh(one);
    one.more.addEventListener("click", () => {
      const next = one.cards.find((card) => card.hidden);
      one.most = Infinity;
      refresh(one);
      one.list.focus({ preventScroll: true }); // the button is gone
      next?.scrollIntoView({ block: "nearest" });
    });
  }
  const forgotten = lists.get("f");
  const filters = [...document.querySelectorAll("[data-filter]")];
  const filter = (wanted) => {
    filters.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.filter === wanted)));
    forgotten.wanted = wanted;
    by("count").textContent = `${refresh(forgotten)} of ${forgotten.cards.length}`;
    if (lists.has("r")) refresh(lists.get("r"));
  };
  filters.forEach((one) => one.addEventListener("click", () => filter(one.dataset.filter)));
  by("order").addEventListener("change", () => {
    const name = by("order").value;
    const sign = name === "before" ? -1 : 1;
    forgotten.cards.sort((a, b) => sign * (Number(a.dataset[name]) - Number(b.dataset[name])) || a.dataset.order - b.dataset.order);
    forgotten.list.append(...forgotten.cards);
    refresh(forgotten);
  });
  filter("");
})();
