import { Dialog } from "./dialog";
import { Chip } from "./pieces";

const keys: [string[], string][] = [
  [["/"], "search by id"],
  [["j", "k"], "next, previous row"],
  [["Enter"], "open the row"],
  [["x"], "select the row, to decide about many"],
  [["Esc"], "back, or close"],
  [["g", "o"], "go to the overview"],
  [["g", "s"], "go to sagas"],
  [["g", "d"], "go to definitions"],
  [["g", "l"], "go to dead letters"],
  [["t"], "light, dark, as the system"],
  [["?"], "this help"],
];

const words: [string, string][] = [
  ["running", "on its way"],
  ["parked", "cannot go on alone: it waits for an operator"],
  ["compensating", "going back: what was done is being undone"],
  ["compensated", "went back to the beginning"],
  ["completed", "reached its end"],
];

export function Help({ close }: { close: () => void }) {
  return (
    <Dialog title="Keys and words" close={close}>
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
        <h2 style={{ marginTop: "18px" }}>Words</h2>
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
