// Shows the theme that was chosen before anything is painted; a classic script, since modules run after the first paint.
try {
  const name = localStorage.getItem('tuneground-theme')
  if (name === 'light' || name === 'dark') document.documentElement.dataset.theme = name
} catch {
  // Where storage is refused, the system's theme stays.
}
