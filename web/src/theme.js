// Runs before the first paint, so that a page in the dark does not flash white.
// Kept apart from the module, which runs after the document was parsed.
document.documentElement.classList.add('js'); // without it the buttons are dead, and not shown
// So that nothing moves when the module comes, what it would hide is not shown first.
if (innerWidth < 640) document.documentElement.dataset.try = 'closed';
try {
  const tryIt = localStorage.getItem('weir-try');
  if (tryIt) document.documentElement.dataset.try = tryIt;
  const theme = localStorage.getItem('weir-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden. The page then follows the system.
}
