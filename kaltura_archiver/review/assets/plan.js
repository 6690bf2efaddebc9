"use strict";
// Ticks, and the saving of the lines that stay, each as it was in the plan. No text becomes markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const rows = [...document.querySelectorAll("#entries tbody tr")];
  const boxes = rows.map((row) => row.querySelector("input"));
  const tables = [...document.querySelectorAll(".sums")];
  const search = document.getElementById("search");
  const saved = document.getElementById("saved");
  const number = new Intl.NumberFormat("en");
  const videos = (count) => count === 1 ? "1 video" : `${number.format(count)} videos`;
  let unsaved = false;

  const size = (bytes) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let at = 0;
    while (bytes >= 999.5 && at < 5) { bytes /= 1024; at += 1; }
    return `${Number(bytes.toPrecision(3))} ${units[at]}`;
  };

  const update = () => {
    let count = 0, bytes = 0;
    boxes.forEach((box, at) => {
      rows[at].className = box.checked ? "" : "out";
      if (box.checked) { count += 1; bytes += data.acting[at][1]; }
    });
    document.getElementById("sum").textContent =
      `${number.format(count)} of ${videos(boxes.length)} ${boxes.length === 1 ? "is" : "are"} in, ${size(bytes)}`;
    for (const table of tables) {
      const still = new Map(), all = new Map();
      rows.forEach((row, at) => {
        const name = row.dataset[table.dataset.kind];
        all.set(name, (all.get(name) ?? 0) + 1);
        if (boxes[at].checked) still.set(name, (still.get(name) ?? 0) + 1);
      });
      for (const row of table.tBodies[0].rows) {
        const box = row.querySelector("input"), left = still.get(row.dataset.name) ?? 0;
        box.checked = left > 0;
        box.indeterminate = left > 0 && left < all.get(row.dataset.name);
        row.querySelector(".still").textContent = number.format(left);
      }
    }
  };

  const changed = () => { unsaved = true; saved.textContent = ""; update(); };
  // The streams of a recording go together: apply does nothing about one of which a line is missing.
  const tick = (value, wanted) => {
    const recordings = new Set(rows.filter(wanted).map((row) => row.dataset.recording));
    rows.forEach((row, at) => { if (recordings.has(row.dataset.recording)) boxes[at].checked = value; });
    changed();
  };

  document.getElementById("entries").addEventListener("change", (event) => {
    const ticked = event.target.closest("tr");
    tick(event.target.checked, (row) => row === ticked);
  });
  for (const table of tables) {
    table.addEventListener("change", (event) => {
      const name = event.target.closest("tr").dataset.name;
      tick(event.target.checked, (row) => row.dataset[table.dataset.kind] === name);
    });
  }
  document.getElementById("none").addEventListener("click", () => tick(false, (row) => !row.hidden));
  document.getElementById("all").addEventListener("click", () => tick(true, (row) => !row.hidden));
  const texts = rows.map((row) => row.textContent.toLowerCase());
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, at) => { row.hidden = !words.every((word) => texts[at].includes(word)); });
  });

  document.getElementById("save").addEventListener("click", () => {
    const kept = data.acting.filter((_, at) => boxes[at].checked).map(([text]) => text);
    const text = [data.first, ...kept, ...data.leftOut, data.last].map((line) => `${line}\n`).join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
    link.download = data.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    unsaved = false;
    saved.textContent = `Saved as ${data.file}, with ${videos(kept.length)}: send it back.`;
  });
  window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });

  document.getElementById("bar").hidden = false;
  update();
})();
