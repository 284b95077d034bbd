import { Dialog } from "./dialog";
import { Chip } from "./pieces";

const keys: [string[], string][] = [
  [["/"], "search by id"],
  [["j", "k"], "next, previous row"],
  [["Enter"], "open the saga"],
  [["x"], "select the row, for operations on many sagas"],
  [["Esc"], "back, or close"],
  [["g", "o"], "go to the overview"],
  [["g", "s"], "go to sagas"],
  [["g", "d"], "go to definitions"],
  [["g", "l"], "go to dead letters"],
  [["t"], "switch theme: system, light, dark"],
  [["?"], "this help"],
];

const words: [string, string][] = [
  ["running", "steps are in progress"],
  ["parked", "cannot continue: waiting for an operator"],
  ["compensating", "completed steps are being undone"],
  ["compensated", "ended: all completed steps were undone"],
  ["completed", "ended: all steps were done"],
];

export function Help({ close }: { close: () => void }) {
  return (
    <Dialog title="Keys and terms" close={close}>
      <div class="pad">
        <h2>Keys</h2>
        <dl class="keys">
          {keys.map(([press, does]) => (
            <>
              <dt>{press.map((k) => <><kbd>{k}</kbd> </>)}</dt>
              <dd>{does}</dd>
            </>
          ))}
        </dl>
        <h2 style={{ marginTop: "18px" }}>Terms</h2>
        <dl class="keys">
          {words.map(([word, means]) => (
            <>
              <dt><Chip of={word} /></dt>
              <dd>{means}</dd>
            </>
          ))}
        </dl>
        <div class="buttons">
          <button class="primary" autofocus onClick={close}>Close</button>
        </div>
      </div>
    </Dialog>
  );
}
