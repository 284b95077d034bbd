import { call, number } from "./api";
import { useQuery } from "./query";

// useParked returns the number of sagas that wait for an operator.
export function useParked(): number {
  const { data } = useQuery("parked", (signal) => call<{ total?: number }>("Count", { filter: { phases: ["parked"], open: true } }, signal), 5000);
  return number(data?.total);
}
