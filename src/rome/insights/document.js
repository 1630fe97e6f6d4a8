"use strict";
(() => {
  const chosen = new Map(); // id of a table: [column, descending]
  const field = document.getElementById("filter");
  const live = document.getElementById("live");
  const main = () => document.querySelector("main");

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return column ? Number(cell.dataset.sort) : cell.querySelector("summary, .subject").textContent.toLowerCase();
  };

  const sort = (table, column, descending) => {
    chosen.set(table.id, [column, descending]);
    const rows = [...table.tBodies[0].rows].map((row, at) => [valueOf(row, column), at, row]);
    rows.sort((a, b) => {
      const order = a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
      return (descending ? -order : order) || a[1] - b[1];
    });
    table.tBodies[0].append(...rows.map((each) => each[2]));
    [...table.tHead.rows[0].cells].forEach((head, at) => {
      head.setAttribute("aria-sort", at === column ? (descending ? "descending" : "ascending") : "none");
    });
    document.querySelector(`select[data-table="${table.id}"]`).value = String(column);
  };

  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0, all = 0;
    for (const row of document.querySelectorAll("tbody tr")) {
      const text = row.cells[0].textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      all += 1;
      shown += !row.hidden;
    }
    const status = document.getElementById("filtered");
    status.textContent = words.length ? `${shown} of ${all} rows match` : "";
  };

  const open = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const details = id && document.getElementById(`more-${id}`);
    if (details) details.open = true;
  };

  const refresh = async () => {
    let answer;
    try {
      answer = await fetch(location.pathname, { cache: "no-store" });
    } catch {
      answer = { ok: false };
    }
    if (!answer.ok) {
      document.getElementById("filtered").textContent = "The process does not answer any more; this is what it said last.";
      return;
    }
    const opened = [...document.querySelectorAll("details[open]")].map((details) => details.id);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = page.title;
    main().replaceWith(document.adoptNode(page.querySelector("main")));
    for (const id of opened) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
    for (const [id, [column, descending]] of chosen) {
      const table = document.getElementById(id);
      if (table) sort(table, column, descending);
    }
    filter();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("th button");
    if (!button) return;
    const head = button.parentElement;
    const column = Number(button.dataset.column);
    const descending = head.getAttribute("aria-sort") === "none" ? column > 0 : head.getAttribute("aria-sort") !== "descending";
    sort(head.closest("table"), column, descending);
  });
  document.addEventListener("change", (event) => {
    const table = event.target.dataset.table;
    if (table) sort(document.getElementById(table), Number(event.target.value), event.target.value !== "0");
  });
  field.addEventListener("input", filter);
  addEventListener("hashchange", open);
  if (live) {
    document.getElementById("refresh").addEventListener("click", refresh);
    setInterval(() => {
      if (live.checked && !document.hidden) refresh();
    }, 5000);
  }
  open();
})();
