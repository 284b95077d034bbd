import { useEffect, useRef, useState } from "preact/hooks";
import { stream, type Saga } from "./api";
import { moment } from "./said";

export type Moved = { saga?: Saga; missed?: number; caughtUp?: boolean; left?: boolean };

// useWatch follows the API's Watch and returns whether it is connected. A hidden page does
// not watch, because a browser allows few connections to one host. take gets each message
// with the moment of its request. If it returns false, because there are too many changes
// to show, the watch pauses, and the caller polls meanwhile.
export function useWatch(key: string, request: () => object, take: (m: Moved, asked: number) => boolean | void): boolean {
  const [live, setLive] = useState(false);
  const taker = useRef(take);
  taker.current = take;
  useEffect(() => {
    let abort: AbortController | undefined, timer = 0, ended = false, pause = 1000;
    const follow = async () => {
      clearTimeout(timer);
      if (ended || document.hidden || abort) return;
      const mine = (abort = new AbortController());
      const asked = moment();
      let rest = 0;
      try {
        await stream<Moved>("Watch", request(), (m) => {
          if (mine.signal.aborted) return true;
          setLive(true);
          pause = 1000;
          if (taker.current(m, asked) !== false) return false;
          rest = 10000;
          return true;
        }, mine.signal);
      } catch {
        // The loop reconnects, and the caller polls meanwhile.
      }
      mine.abort();
      if (abort === mine) abort = undefined;
      setLive(false);
      if (ended || document.hidden) return;
      timer = window.setTimeout(follow, rest || pause);
      pause = Math.min(pause * 2, 10000);
    };
    const seen = () => (document.hidden ? abort?.abort() : void follow());
    document.addEventListener("visibilitychange", seen);
    void follow();
    return () => {
      ended = true;
      abort?.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [key]);
  return live;
}
