(function () {
  var box = document.currentScript.closest("figure"), cards = box.querySelectorAll("details.moat-card"), menus = box.querySelectorAll("select");
  function show() {
    var shown = 0;
    cards.forEach(function (card) {
      var fits = Array.prototype.every.call(menus, function (menu) { return !menu.value || card.getAttribute("data-" + menu.name) === menu.value; });
      card.hidden = !fits;
      shown += fits ? 1 : 0;
    });
    box.querySelector(".moat-count").textContent = shown + " of " + cards.length + " shown";
  }
  menus.forEach(function (menu) { menu.addEventListener("change", show); });
  show();
})();
