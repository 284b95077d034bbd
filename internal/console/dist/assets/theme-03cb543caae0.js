"use strict";(()=>{var e=localStorage.getItem("amends.theme");(e==="light"||e==="dark")&&(document.documentElement.dataset.theme=e);})();
