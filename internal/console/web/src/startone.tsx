import { call, type Definition } from "./api";
import { useQuery } from "./query";

// StartOne shows a command that starts a saga of an existing definition.
export function StartOne() {
  const { data } = useQuery("definitions", (signal) => call<{ definitions?: Definition[] }>("ListDefinitions", {}, signal), 10000);
  if (!data) return null;
  const name = data.definitions?.[0]?.ref.name;
  if (!name) return <p>No definition is registered yet: <a href="/definitions">register one first</a>.</p>;
  return <pre data-command>coordinator start {name} --id order-42 --input order.json</pre>;
}
