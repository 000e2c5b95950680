"use strict";
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
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.querySelectorAll("th[scope=col]")];
    heads.forEach((head, column) => {
      head.setAttribute("aria-sort", "none");
      head.querySelector("button").addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((one) => one.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        for (const body of table.tBodies) {
          const keyed = [...body.rows].map((row) => ({ row, key: value(row, column) }));
          keyed.sort((a, b) => compare(a.key, b.key, up ? 1 : -1));
          body.append(...keyed.map((one) => one.row));
        }
      });
    });
  }

  // A number's definition and runs, on hover and on focus.
  const tip = document.getElementById("tip");
  if (!tip.showPopover) return;
  const hide = () => tip.matches(":popover-open") && tip.hidePopover();
  const show = (owner) => {
    const definition = document.getElementById(owner.dataset.tip);
    if (!definition || document.querySelector(".runs:popover-open")) return;
    const name = document.createElement("b");
    name.textContent = owner.dataset.tip.slice(2);
    const more = document.createElement("span");
    more.textContent = owner.dataset.more ?? "";
    tip.replaceChildren(name, definition.textContent, more);
    hide();
    tip.showPopover();
    const at = owner.getBoundingClientRect();
    const own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left), document.documentElement.clientWidth - own.width - 8);
    const below = at.bottom + 8;
    const fits = below + own.height < window.innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${fits ? below : Math.max(8, at.top - own.height - 8)}px`;
  };
  const owner = (event) => event.target.closest?.("[data-tip]");
  for (const kind of ["mouseover", "focusin"]) {
    document.addEventListener(kind, (event) => owner(event) ? show(owner(event)) : hide());
  }
  for (const kind of ["mouseout", "focusout", "click"]) document.addEventListener(kind, hide);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("scroll", hide, true);

  if (window.self !== window.top) document.querySelector(".framed").hidden = false;
})();
