// The page reads without this script; it adds a filter for tensors, keeps <html lang> right and scrolls one side only.
"use strict";

for (const choice of document.querySelectorAll("input[name=language]")) {
  choice.addEventListener("change", () => { document.documentElement.lang = choice.value; });
}

const filter = document.getElementById("filter");
if (filter) {
  const rows = [...document.querySelectorAll("#tensor-table tbody tr")];
  const shown = document.getElementById("shown");
  filter.closest(".filter").hidden = false;
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = `${count} / ${rows.length}`;
  });
}

for (const link of document.querySelectorAll(".lines a")) {
  link.addEventListener("click", (event) => {
    const line = document.getElementById(link.hash.slice(1));
    if (!line) return;
    event.preventDefault();
    line.closest("details").open = true;
    for (const marked of document.querySelectorAll(".lines .marked")) marked.classList.remove("marked");
    line.classList.add("marked");
    link.closest("tr").classList.add("marked");
    const pane = line.closest(".code");
    pane.scrollTop = line.offsetTop - pane.clientHeight / 2;
    if (getComputedStyle(document.querySelector(".sides")).gridTemplateColumns.split(" ").length < 2) {
      line.scrollIntoView({ block: "center" });
    }
  });
}
