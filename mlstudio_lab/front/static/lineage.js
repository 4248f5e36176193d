// A live view of lineage and warnings: plain elements, no library, text only (never markup from data).
function element(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props || {})) {
    if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function shortName(name) {
  const at = name.indexOf("@");
  return at < 0 ? name : name.slice(0, at + 9);
}

function labelWords(entry) {
  if (!entry) return [];
  const parts = "asserted" in entry || "propagated" in entry ? [entry.asserted, entry.propagated] : [entry];
  const words = [];
  for (const part of parts)
    for (const word of part ? [part.sensitivity, ...(part.tags || [])] : [])
      if (word && word !== "public" && !words.includes(word)) words.push(word);
  return words;
}

const KINDS = [
  ["direct", "made from"],
  ["indirect", "rows, groups and order from"],
  ["opaque", "may have read"],
];
const PAGE = 200;

function byColumn(edges) {
  const found = new Map();
  for (const edge of edges) {
    const key = edge.output + "\u0000" + edge.output_column;
    if (!found.has(key)) found.set(key, { output: edge.output, column: edge.output_column, edges: [] });
    found.get(key).edges.push(edge);
  }
  return [...found.values()];
}

function row(item, labels, open) {
  const words = labelWords(labels[item.output + "." + item.column]);
  const counts = KINDS.map(([kind]) => [kind, item.edges.filter((e) => e.kind === kind).length])
    .filter(([, n]) => n)
    .map(([kind, n]) => `${n} ${kind}`)
    .join(", ");
  const summary = element(
    "summary",
    {},
    element("code", {}, item.column || shortName(item.output)),
    " ",
    ...words.map((word) => element("span", { class: "mls-chip mls-warn" }, word)),
    " ",
    element("span", { class: "mls-muted" }, counts),
  );
  const details = element("details", open ? { open: "" } : {}, summary);
  let isFilled = false;
  const fill = () => {
    if (isFilled || !details.open) return;
    isFilled = true;
    for (const [kind, title] of KINDS) {
      const edges = item.edges.filter((edge) => edge.kind === kind);
      if (!edges.length) continue;
      const list = element("ul", { "aria-label": title });
      for (const edge of edges.slice(0, PAGE)) {
        const source = shortName(edge.input) + (edge.input_column ? "." + edge.input_column : "");
        list.append(
          element(
            "li",
            {},
            element("code", {}, source),
            " ",
            ...labelWords(labels[edge.input + "." + edge.input_column]).map((word) => element("span", { class: "mls-chip mls-warn" }, word)),
            edge.subtype ? element("span", { class: "mls-muted" }, " " + edge.subtype.toLowerCase().replace("_", " ")) : null,
          ),
        );
      }
      if (edges.length > PAGE) list.append(element("li", { class: "mls-muted" }, `and ${edges.length - PAGE} more`));
      details.append(element("div", { class: "mls-kind" }, title), list);
    }
  };
  details.addEventListener("toggle", fill);
  fill();
  return details;
}

function lineageView(model) {
  const view = model.get("lineage") || { edges: [], labels: {} };
  const items = byColumn(view.edges || []);
  const list = element("div", { class: "mls-list" });
  const status = element("div", { class: "mls-muted", role: "status", "aria-live": "polite" });
  const paint = (text) => {
    const wanted = text.trim().toLowerCase();
    const found = items.filter(
      (item) =>
        !wanted ||
        item.column.toLowerCase().includes(wanted) ||
        item.edges.some((edge) => (edge.input + "." + edge.input_column).toLowerCase().includes(wanted)),
    );
    const shown = found.slice(0, PAGE);
    list.replaceChildren(...shown.map((item) => row(item, view.labels || {}, shown.length === 1)));
    const more = found.length > shown.length ? `, the first ${shown.length} shown` : "";
    status.textContent = `${found.length} of ${items.length} columns${more}${view.truncated ? "; some edges are left out" : ""}`;
  };
  const search = element("input", {
    type: "search",
    placeholder: "Search columns",
    "aria-label": "Search columns",
    oninput: () => paint(search.value),
    onkeydown: (event) => {
      if (event.key === "Escape") {
        search.value = "";
        paint("");
      } else if (event.key === "ArrowDown") {
        event.preventDefault();
        list.querySelector("summary")?.focus();
      }
      event.stopPropagation();
    },
  });
  list.addEventListener("keydown", (event) => {
    const heads = [...list.querySelectorAll("summary")];
    const at = heads.indexOf(document.activeElement);
    if (at < 0 || !["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "ArrowRight") heads[at].parentElement.open = true;
    else if (event.key === "ArrowLeft") heads[at].parentElement.open = false;
    else if (event.key === "ArrowUp" && at === 0) search.focus();
    else heads[Math.min(heads.length - 1, Math.max(0, at + (event.key === "ArrowDown" ? 1 : -1)))].focus();
  });
  paint("");
  const why = view.widened || [];
  const reasons = why.length
    ? element("details", {}, element("summary", { class: "mls-muted" }, "why some are not exact"), ...why.map((text) => element("div", {}, text)))
    : null;
  return element("section", { "aria-label": "Lineage" }, element("div", { class: "mls-title" }, view.subject || "lineage"), search, status, list, reasons);
}

function warningsView(model) {
  const warnings = model.get("warnings") || [];
  const list = element("ul", { "aria-label": "Warnings" });
  for (const warning of warnings)
    list.append(element("li", {}, element("span", { class: "mls-chip mls-warn" }, warning.label), " ", warning.text));
  const title = warnings.length ? `${warnings.length} labelled columns arrived here` : "no warnings";
  return element("section", { "aria-label": "Warnings" }, element("div", { class: "mls-title" }, title), list);
}

function render({ model, el }) {
  el.classList.add("mls-live");
  const paint = () => {
    const parts = [];
    if (model.get("shows").includes("warnings")) parts.push(warningsView(model));
    if (model.get("shows").includes("lineage")) parts.push(lineageView(model));
    el.replaceChildren(...parts);
  };
  paint();
  model.on("change:lineage", paint);
  model.on("change:warnings", paint);
}

export default { render };
