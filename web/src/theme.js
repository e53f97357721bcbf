// Runs before the first paint, so that a page in the dark does not flash white.
// Kept apart from the modules, which run after the document was parsed.
try {
  const theme = localStorage.getItem('weir-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden. The page then follows the system.
}
