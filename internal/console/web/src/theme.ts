// Runs before the first paint, to avoid a flash of the other theme.
const theme = localStorage.getItem("amends.theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
