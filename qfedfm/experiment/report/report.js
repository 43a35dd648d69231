"use strict";
// Turns the native titles of chart parts into quick tooltips that also work by touch.
(() => {
  const tip = document.createElement("div");
  tip.id = "tooltip";
  tip.hidden = true;
  document.body.append(tip);
  for (const part of document.querySelectorAll(".chart .spot, .chart .column")) {
    const title = part.querySelector(":scope > title");
    if (title) {
      part.dataset.tip = title.textContent;
      title.remove();
    }
  }
  const show = (event) => {
    const part = event.target.closest ? event.target.closest("[data-tip]") : null;
    if (!part) {
      tip.hidden = true;
      return;
    }
    tip.textContent = part.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, innerWidth - box.width - 8);
    const above = event.clientY - box.height - 14;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 8 ? above : event.clientY + 18}px`;
  };
  document.addEventListener("pointermove", show, { passive: true });
  document.addEventListener("pointerdown", show, { passive: true });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
})();
