import { call, type Saga } from "./api";
import { useQuery } from "./query";

// useParked is how many sagas wait for an operator; of more than 1000 it says 1000.
export function useParked(): number {
  const { data } = useQuery("parked", (signal) => call<{ sagas?: Saga[] }>("List", { filter: { phases: ["parked"], open: true }, limit: 1000 }, signal), 5000);
  return data?.sagas?.length ?? 0;
}
