// The buttons that copy a key.

const SHOWN_MS = 2000;

/** @param say tells who can't see it */
export function reactToCopy(say: (text: string) => void): void {
  document.addEventListener('click', (event) => {
    const button = event.target instanceof Element ? event.target.closest<HTMLButtonElement>('button.copy') : null;
    const label = button?.querySelector('span');
    const code = button?.parentElement?.querySelector('code');
    if (!label || !code) return;
    void copy(code).then((done) => {
      label.textContent = done ? 'Copied' : 'Press Ctrl+C';
      say(label.textContent);
      setTimeout(() => {
        label.textContent = 'Copy key';
      }, SHOWN_MS);
    });
  });
}

/** Browsers give the clipboard to https and to this machine only; elsewhere the key is selected and copied the old way. */
async function copy(code: Element): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(code.textContent ?? '');
    return true;
  } catch {
    getSelection()?.selectAllChildren(code);
    return document.execCommand('copy');
  }
}
