// Brings the page up to date every few seconds. It works without: then a link loads it again.
"use strict";
(() => {
  const EVERY_MS = 5000;
  const told = document.getElementById("live");
  const pause = document.getElementById("pause");
  if (!told || !pause) return;
  let paused = false;

  const holdsFocus = (element) => element.contains(document.activeElement);
  const ids = (element) => [...element.querySelectorAll("[id]")].map((it) => it.id).join(" ");

  // What somebody is at is left alone, and so is what did not change.
  const swap = (old, fresh) => {
    if (!old || !fresh || holdsFocus(old) || old.innerHTML === fresh.innerHTML) return;
    old.replaceChildren(...fresh.childNodes);
  };

  const show = (fresh) => {
    const list = document.getElementById("partners");
    const freshList = fresh.getElementById("partners");
    // Partners that came or went; else only what is in them.
    if (list && freshList && ids(list) !== ids(freshList)) swap(list, freshList);
    for (const old of document.querySelectorAll("[data-live]")) swap(old, fresh.getElementById(old.id));
    const token = fresh.querySelector("input[name=form_token]");
    for (const old of document.querySelectorAll("input[name=form_token]")) if (token) old.value = token.value;
    document.title = fresh.title;
  };

  const update = async () => {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS - 1000) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      told.textContent = "Updates by itself.";
    } catch (error) {
      told.textContent = `Not updated: the broker does not answer (${error.message}).`;
    }
  };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on updating" : "Pause updates";
    told.textContent = paused ? "Updates are paused." : "Updates by itself.";
    update();
  });
  told.textContent = "Updates by itself.";
  setInterval(update, EVERY_MS);
  document.addEventListener("visibilitychange", update);
})();
