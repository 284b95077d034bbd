import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

// Dialog is modal: Escape closes it, and the keys of the page rest.
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    ref.current?.showModal();
    return () => before?.focus?.();
  }, []);
  return (
    <dialog ref={ref} aria-label={title} onClose={close} onClick={(e) => e.target === ref.current && close()}>
      {children}
    </dialog>
  );
}
