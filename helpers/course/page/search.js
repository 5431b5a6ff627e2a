"use strict";

const at = (id) => document.getElementById(id);
let image = null; // the file that is searched with
let newest = 0; // the number of the newest search: the answer to an older one is not shown

/** An element with a text; what comes from the data is never read as HTML. */
function element(name, text = "", properties = {}) {
  return Object.assign(document.createElement(name), { textContent: text }, properties);
}

function take(file) {
  image = file;
  URL.revokeObjectURL(at("chosen").src);
  at("chosen").src = file ? URL.createObjectURL(file) : "data:,";
  for (const id of ["chosen", "remove", "both"]) at(id).hidden = !file;
  if (!file) at("image").value = "";
}

function request() {
  const text = at("text").value.trim();
  if (image) {
    const query = new URLSearchParams({ text, k: at("k").value, image_weight: at("weight").value });
    return fetch(`/search/image?${query}`, { method: "POST", body: image });
  }
  const headers = { "Content-Type": "application/json" };
  return fetch("/search", { method: "POST", headers, body: JSON.stringify({ text, k: +at("k").value }) });
}

async function search() {
  const mine = ++newest;
  at("status").textContent = "Searching …";
  at("error").textContent = "";
  const began = performance.now();
  let answer;
  try {
    answer = await (await request()).json();
  } catch {
    const remedy = "Is `course serve` still running? Start it, and search again.";
    answer = { error: { code: "unreachable", message: "the service does not answer", remedy } };
  }
  if (mine !== newest) return;
  at("status").textContent = "";
  at("hits").replaceChildren(...(answer.hits ?? []).map(shown));
  if (answer.error) {
    const { code, message, remedy } = answer.error;
    at("error").textContent = `Error ${code}: ${message}. Remedy: ${remedy}`;
    return;
  }
  const ms = Math.round(performance.now() - began);
  const searched = answer.searched.toLocaleString("en");
  at("status").textContent = `${answer.hits.length} of ${searched} images in ${ms} ms, the best first.`;
}

function shown(hit) {
  const item = element("li");
  const name = hit.caption || hit.id;
  const more = element("button", "Search with this image", { type: "button" });
  more.setAttribute("aria-label", `Search with this image, ${hit.rank}: ${name}`);
  more.addEventListener("click", async () => {
    at("text").value = "";
    take(await (await fetch(hit.thumbnail)).blob());
    await search();
    at("status").focus(); // the button is gone
  });
  item.append(
    element("img", "", { src: hit.thumbnail, alt: `Image ${hit.rank}`, loading: "lazy" }),
    element("span", `${hit.rank}. ${name}`),
    element("span", `score ${hit.score.toFixed(3)} · ${hit.id}`, { className: "more" }),
    more,
  );
  return item;
}

at("query").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
at("image").addEventListener("change", () => take(at("image").files[0] ?? null));
at("remove").addEventListener("click", () => {
  take(null);
  at("image").focus();
});
at("chosen").addEventListener("error", () => { at("chosen").hidden = true; }); // not for browsers
at("weight").addEventListener("input", () => { at("share").textContent = at("weight").value; });
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // or the browser leaves this page for the file
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}
fetch("/health").then((response) => response.json()).then((found) => {
  const adapter = found.adapter ? ` with adapter ${found.adapter}` : "";
  at("about").textContent = `${found.images.toLocaleString("en")} images of ${found.source}, model ${found.model}${adapter}.`;
}).catch(() => {});
