// All runs: those with the words that are looked for.
(() => {
  const runs = [...document.querySelectorAll("#runs tbody tr")];
  const finder = document.getElementById("find-runs");
  const input = finder.querySelector("input");
  const find = () => {
    for (const row of runs) row.hidden = !mu.has(row.textContent, input.value.trim());
    const seen = runs.filter((row) => !row.hidden).length;
    finder.querySelector("[role=status]").textContent = `${seen} of ${runs.length}`;
  };
  finder.hidden = false;
  input.value = mu.state.get("runs") ?? "";
  input.addEventListener("input", () => {
    find();
    mu.keep("runs", input.value ? [input.value] : []);
  });
  find();
})();

// Links to runs: at the server that shows this page, if one does, and where it was said else.
(() => {
  const pages = [...document.querySelectorAll("a[data-page]")];
  // MLflow shows a page as a blob of its own server, and hands it out below these paths.
  const blob = /^blob:(https?:\/\/[^/]+)/.exec(location.href)?.[1];
  const above = blob && document.referrer.startsWith(`${blob}/`) ? document.referrer : blob;
  const served = /^(https?:\/\/[^/]+(?:\/[^?#]*?)?)\/(?:ajax-api|get-artifact)\b/.exec(location.href);
  const shown = blob ? above.split(/[?#]/)[0] : served?.[1];
  const box = document.getElementById("server");
  const input = box.querySelector("input");
  const lead = (server) => {
    for (const one of pages) one.href = server.replace(/\/+$/, "") + one.dataset.page;
  };
  if (!pages.length) return;
  const written = pages[0].getAttribute("href").slice(0, -pages[0].dataset.page.length);
  box.hidden = false;
  input.value = "said" in box.dataset || !shown ? written : shown;
  lead(input.value);
  input.addEventListener("input", () => {
    const valid = /^https?:\/\/[^/\s]+/.test(input.value) && URL.canParse(input.value);
    box.querySelector("[role=status]").textContent = valid ? "" : "not an address of a web server";
    if (valid) lead(input.value.trim());
  });
  if (window.self !== window.top) document.querySelector(".framed").hidden = false;
})();
