"use strict";
(() => {
  const MOST = 25; // rows of a table that are shown at first
  const chosen = new Map(); // id of a table: [column, descending]
  const whole = new Set(); // ids of the tables that are shown whole
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
    show();
  };

  // Hides the rows that the filter leaves out, and those beyond the first ones.
  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let matching = 0, all = 0;
    for (const table of document.querySelectorAll("table")) {
      let found = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.cells[0].textContent.toLowerCase();
        const matches = words.every((word) => text.includes(word));
        found += matches;
        all += 1;
        row.hidden = !matches || (found > MOST && !whole.has(table.id));
      }
      matching += found;
      const rest = table.parentElement.querySelector(".rest");
      rest.hidden = found <= MOST || whole.has(table.id);
      rest.textContent = `Show all ${found.toLocaleString("en")} rows`;
    }
    document.getElementById("filtered").textContent = words.length ? `${matching} of ${all} rows match` : "";
  };

  // Shows the row that the address names, and opens it.
  const open = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const row = id && document.getElementById(id);
    if (!row) return;
    if (row.hidden) {
      field.value = "";
      whole.add(row.closest("table").id);
      show();
      row.scrollIntoView();
    }
    const details = document.getElementById(`more-${id}`);
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
    show();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("th button, .rest");
    if (!button) return;
    if (button.classList.contains("rest")) {
      whole.add(button.dataset.table);
      show();
      return;
    }
    const head = button.parentElement;
    const column = Number(button.dataset.column);
    const descending = head.getAttribute("aria-sort") === "none" ? column > 0 : head.getAttribute("aria-sort") !== "descending";
    sort(head.closest("table"), column, descending);
  });
  document.addEventListener("change", (event) => {
    if (!event.target.matches("select")) return;
    sort(document.getElementById(event.target.dataset.table), Number(event.target.value), event.target.value !== "0");
  });
  field.addEventListener("input", show);
  addEventListener("hashchange", open);
  if (live) {
    document.getElementById("refresh").addEventListener("click", refresh);
    setInterval(() => {
      if (live.checked && !document.hidden) refresh();
    }, 5000);
  }
  show();
  open();
})();
