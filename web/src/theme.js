// Runs before the first paint, so that a page in the dark does not flash white.
// Kept apart from the module, which runs after the document was parsed.
document.documentElement.classList.add('js'); // without it the buttons are dead, and not shown
try {
  const theme = localStorage.getItem('weir-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden. The page then follows the system.
}
