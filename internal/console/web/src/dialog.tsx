import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

// Dialog is modal: Escape closes it, and the page's keys are off. A click on the backdrop
// closes it if it began there, so that a text selection that ends outside does not.
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    ref.current?.showModal();
    return () => before?.focus?.();
  }, []);
  const began = useRef(false);
  const outside = (e: MouseEvent) => {
    const box = ref.current!.getBoundingClientRect();
    return e.target === ref.current && (e.clientX < box.left || e.clientX >= box.right || e.clientY < box.top || e.clientY >= box.bottom);
  };
  return (
    <dialog ref={ref} aria-label={title} onClose={close} onPointerDown={(e) => (began.current = outside(e))} onClick={(e) => began.current && outside(e) && close()}>
      {children}
    </dialog>
  );
}
