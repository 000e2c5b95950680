"use strict";
// What pages of runs share: state in the address, sorting, tips.
document.documentElement.classList.add("live");
const mu = { data: JSON.parse(document.getElementById("data").textContent) };

// What is chosen, in the part of the address behind #?, so that a link says it.
mu.state = new URLSearchParams(location.hash.startsWith("#?") ? location.hash.slice(2) : "");
mu.keep = (name, values) => {
  mu.state.delete(name);
  for (const value of values) mu.state.append(name, value);
  try {
    history.replaceState(null, "", `#${mu.state.size ? "?" : ""}${mu.state}`);
  } catch { /* a sandboxed frame has no address of its own */ }
};

// Every word that is looked for, in any order.
mu.has = (text, query) =>
  query.toLowerCase().split(/\s+/).every((word) => text.toLowerCase().includes(word));

(() => {
  // Sorting: a header's button sorts the rows of each body, so that the oracle stays on top.
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    return { text, number: text === "" || text === "-" ? NaN : Number(text) };
  };
  const absent = (one) => one.text === "" || one.text === "-";
  const compare = (a, b, sign) => {
    if (absent(a) || absent(b)) return absent(a) - absent(b); // last, whichever way
    if (!Number.isNaN(a.number) && !Number.isNaN(b.number)) return sign * (a.number - b.number);
    return sign * a.text.localeCompare(b.text, "en", { numeric: true });
  };
  [...document.querySelectorAll("table.sortable")].forEach((table, place) => {
    const heads = [...table.tHead.querySelectorAll("th[scope=col]")];
    const sort = (column, up) => {
      heads.forEach((one) => one.setAttribute("aria-sort", "none"));
      heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
      for (const body of table.tBodies) {
        const keyed = [...body.rows].map((row) => ({ row, key: value(row, column) }));
        keyed.sort((a, b) => compare(a.key, b.key, up ? 1 : -1));
        body.append(...keyed.map((one) => one.row));
      }
    };
    heads.forEach((head, column) => {
      head.setAttribute("aria-sort", "none");
      head.querySelector("button").addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        sort(column, up);
        mu.keep(`sort${place}`, [`${column}${up ? "" : "-"}`]);
      });
    });
    const kept = /^(\d{1,4})(-?)$/.exec(mu.state.get(`sort${place}`) ?? "");
    if (kept && heads[kept[1]]) sort(Number(kept[1]), !kept[2]);
  });

  // A tip, and the runs behind a number, stand beside what they are of.
  const near = (box, owner) => {
    const at = owner.getBoundingClientRect();
    const own = box.getBoundingClientRect();
    const right = document.documentElement.clientWidth - own.width - 8;
    const below = at.bottom + 6;
    const fits = below + own.height < window.innerHeight;
    box.style.left = `${Math.max(8, Math.min(at.left, right))}px`;
    box.style.top = `${fits ? below : Math.max(8, at.top - own.height - 6)}px`;
  };
  const tip = document.getElementById("tip");
  mu.hide = () => {};
  mu.tip = () => {};
  if (!tip.showPopover) return;
  mu.hide = () => tip.matches(":popover-open") && tip.hidePopover();
  let tipped = null;
  mu.tip = (owner, title, ...lines) => {
    mu.hide();
    tipped = owner;
    if (document.querySelector(".runs:popover-open")) return;
    const parts = [title, ...lines].filter(Boolean).map((text, place) => {
      const part = document.createElement(place ? "span" : "b");
      part.textContent = text;
      return part;
    });
    tip.replaceChildren(...parts);
    tip.showPopover();
    near(tip, owner);
  };
  const place = (number) => {
    const cell = number.closest("td");
    const [blocks, heads] = cell.closest("table").tHead.rows;
    const width = heads.cells.length / (blocks.cells.length - 1);
    const block = blocks.cells[1 + Math.floor((cell.cellIndex - 1) / width)];
    return `${cell.parentElement.cells[0].dataset.value}, ${block.textContent}`;
  };
  const told = (owner) => {
    const name = owner.dataset.tip.slice(2);
    const definition = document.getElementById(owner.dataset.tip)?.textContent;
    const title = owner.classList.contains("number") ? `${place(owner)}: ${name} ${owner.innerText}` : name;
    mu.tip(owner, title.replace(/\s+/g, " "), owner.dataset.more, definition);
  };
  const owner = (event) => event.target.closest?.("[data-tip]");
  for (const kind of ["mouseover", "focusin"]) {
    document.addEventListener(kind, (event) => owner(event) && told(owner(event)));
  }
  for (const kind of ["mouseout", "focusout"]) {
    document.addEventListener(kind, (event) => owner(event) && mu.hide());
  }
  document.addEventListener("click", mu.hide);
  document.addEventListener("keydown", (event) => event.key === "Escape" && mu.hide());
  const opened = () => document.querySelector(".runs:popover-open");
  const keepNear = () => {
    if (tip.matches(":popover-open")) near(tip, tipped);
    const runs = opened();
    if (runs) near(runs, document.querySelector(`[popovertarget=${runs.id}]`));
  };
  document.addEventListener("toggle", (event) => event.target.matches(".runs") && keepNear(), true);
  addEventListener("resize", keepNear);
  document.addEventListener("scroll", (event) => {
    if (event.target !== opened()) keepNear();
  }, true);
})();
