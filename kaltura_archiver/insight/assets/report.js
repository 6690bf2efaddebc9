"use strict";
// The table of entries: filters, sorting, pages, CSV. All text goes in as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { pools, rows } = data;
  const [ID, NAME, OWNER, UNIT, CATEGORY, CREATED, PLAYED, PLAYS, STATE, PLACE, SIZE, VERIFIED, HINT,
    SECONDS, SOURCE, ADMIN_TAGS, END] = Array(17).keys();
  const PAGE = 50;
  const section = document.getElementById("entries");
  const body = section.querySelector("tbody");
  const [search, place, state, unit] = ["search", "place", "state", "unit"].map((id) => document.getElementById(id));
  const status = document.getElementById("shown");
  const [back, on] = [document.getElementById("back"), document.getElementById("on")];
  const heads = [...section.querySelectorAll("thead button")].map((button) => button.textContent);
  const number = new Intl.NumberFormat("en");
  const collator = new Intl.Collator(undefined, { numeric: true });
  let shown = rows, first = 0, column = null, falling = false;

  const day = (days) => (days === null ? "" : new Date(days * 864e5).toISOString().slice(0, 10));
  const played = (row) => day(row[PLAYED]) || (row[PLAYS] > 0 ? "unknown" : "never");
  const lost = (row) => pools.state[row[STATE]] === "lost"; // how large it was is not known
  const size = (bytes) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let at = 0;
    while (bytes >= 999.5 && at < 4) { bytes /= 1024; at += 1; }
    return `${Number(bytes.toPrecision(3))} ${units[at]}`;
  };

  // What each row is searched for, made when first needed.
  let texts = null;
  const searchable = () => texts ??= new Map(rows.map((row) => [row, [row[ID], row[NAME], pools.owner[row[OWNER]],
    pools.unit[row[UNIT]], pools.category[row[CATEGORY]]].join("\n").toLowerCase()]));

  // Numbers to sort by: of texts their rank.
  const ranks = new Map();
  const ranked = (key, values) => {
    if (!ranks.has(key)) {
      const order = [...new Set(values)].sort(collator.compare);
      ranks.set(key, new Map(order.map((value, rank) => [value, rank])));
    }
    return ranks.get(key);
  };
  const sorters = {
    name: () => { const rank = ranked("name", rows.map((row) => row[NAME])); return (row) => rank.get(row[NAME]); },
    owner: () => { const rank = ranked("owner", pools.owner); return (row) => rank.get(pools.owner[row[OWNER]]); },
    category: () => {
      const rank = ranked("category", pools.category);
      return (row) => rank.get(pools.category[row[CATEGORY]]);
    },
    created: () => (row) => row[CREATED],
    played: () => (row) => row[PLAYED] ?? -1,
    plays: () => (row) => row[PLAYS],
    state: () => (row) => row[PLACE] * 100 + row[STATE],
    size: () => (row) => row[SIZE],
    verified: () => (row) => row[VERIFIED] ?? -1,
  };

  const cell = (tag, text, more, style) => {
    const made = document.createElement(tag);
    if (style) made.className = style;
    const main = document.createElement("bdi");
    main.textContent = text;
    made.append(main);
    if (more) {
      const small = document.createElement("small");
      const inner = document.createElement("bdi");
      inner.textContent = more;
      small.append(inner);
      made.append(small);
    }
    return made;
  };

  const draw = () => {
    body.replaceChildren(...shown.slice(first, first + PAGE).map((row) => {
      const line = document.createElement("tr");
      const name = cell("th", row[NAME] || "(no name)", "");
      name.scope = "row";
      const id = document.createElement("small");
      id.textContent = row[ID];
      name.append(document.createElement("br"), id);
      const where = cell("td", pools.state[row[STATE]], pools.hint[row[HINT]]);
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.dataset.place = lost(row) ? "lost" : row[PLACE];
      where.prepend(dot);
      line.append(name, where, cell("td", lost(row) ? "not known" : size(row[SIZE]), "", "number"),
        cell("td", played(row), "", "number"), cell("td", number.format(row[PLAYS]), "", "number"),
        cell("td", day(row[CREATED]), "", "number"), cell("td", pools.owner[row[OWNER]], pools.unit[row[UNIT]]),
        cell("td", pools.category[row[CATEGORY]]), cell("td", day(row[VERIFIED]), "", "number"));
      [...line.children].forEach((each, at) => { each.dataset.label = heads[at]; });
      return line;
    }));
    const last = Math.min(first + PAGE, shown.length);
    const all = number.format(rows.length);
    status.textContent = shown.length
      ? `${number.format(first + 1)} to ${number.format(last)} of ${number.format(shown.length)} entries` +
        (shown.length < rows.length ? ` that match, of ${all}` : "")
      : `None of ${all} entries matches.`;
    back.disabled = first === 0;
    on.disabled = last >= shown.length;
  };

  const update = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = [[PLACE, place], [STATE, state], [UNIT, unit]].filter(([, select]) => select && select.value !== "")
      .map(([at, select]) => [at, Number(select.value)]);
    const found = words.length ? searchable() : null;
    shown = words.length || wanted.length
      ? rows.filter((row) => wanted.every(([at, value]) => row[at] === value) &&
          words.every((word) => found.get(row).includes(word)))
      : rows.slice();
    if (column) {
      const key = sorters[column]();
      const sign = falling ? -1 : 1;
      shown.sort((one, other) => sign * (key(one) - key(other)));
    }
    first = 0;
    draw();
  };

  let asked = 0;
  const soon = () => { cancelAnimationFrame(asked); asked = requestAnimationFrame(update); };
  search.addEventListener("input", soon);
  for (const select of [place, state, unit]) if (select) select.addEventListener("change", update);
  section.querySelector("thead").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const head = button.closest("th");
    const before = section.querySelector("[aria-sort]");
    // Text rises first, numbers and dates fall first.
    falling = before === head ? !falling : head.classList.contains("number");
    if (before) before.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    column = button.dataset.column;
    update();
  });
  back.addEventListener("click", () => { first = Math.max(0, first - PAGE); draw(); });
  on.addEventListener("click", () => { first += PAGE; draw(); });

  // A spreadsheet must not take a name for a formula.
  const quoted = (value) => {
    const text = value === null ? "" : String(value);
    const safe = typeof value === "string" && /^([\s\u200c\u200d]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])/.test(text) ? `'${text}` : text;
    return `"${safe.replaceAll('"', '""')}"`;
  };
  document.getElementById("csv").addEventListener("click", () => {
    const lines = [["entry_id", "name", "owner", "unit", "categories", "created", "last_played", "plays", "state", "bytes",
      "verified", "what_to_do", "duration_seconds", "source", "admin_tags", "end_date"]];
    for (const row of shown) {
      lines.push([row[ID], row[NAME], pools.owner[row[OWNER]], pools.unit[row[UNIT]], pools.category[row[CATEGORY]],
        day(row[CREATED]), day(row[PLAYED]), row[PLAYS], pools.state[row[STATE]], lost(row) ? null : row[SIZE],
        day(row[VERIFIED]), pools.hint[row[HINT]], row[SECONDS], pools.source[row[SOURCE]], pools.admin_tags[row[ADMIN_TAGS]], day(row[END])]);
    }
    const text = "\ufeff" + lines.map((line) => line.map(quoted).join(",") + "\r\n").join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "entries.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  });

  section.hidden = false;
  draw();
})();
