import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Definitions } from "./definitions";
import { DeadLetters } from "./deadletters";
import { Help } from "./help";
import { onKey } from "./keys";
import { List } from "./list";
import { Empty, Icon, Offline } from "./pieces";
import { interceptLinks, navigate, useAddress } from "./router";
import { OverviewPage } from "./overview";
import { SagaPage } from "./saga";
import { logout, useWho } from "./who";
import { useParked } from "./parked";
import { showSafely } from "./visible";

const places = [
  { path: "/", title: "Overview", icon: "overview", key: "o" },
  { path: "/sagas", title: "Sagas", icon: "list", key: "s" },
  { path: "/definitions", title: "Definitions", icon: "definitions", key: "d" },
  { path: "/dead-letters", title: "Dead letters", icon: "letters", key: "l" },
];

function Page({ path }: { path: string }) {
  const [, first = "", second = "", third = ""] = path.split("/").map(decodeURIComponent);
  switch (first) {
    case "":
      return <OverviewPage />;
    case "sagas":
      return second ? <SagaPage key={second} id={second} /> : <List />;
    case "definitions":
      return <Definitions name={second} version={third} />;
    case "dead-letters":
      return <DeadLetters />;
  }
  return (
    <Empty title="Page not found">
      <p>
        See the navigation bar for the pages of the console. The page of a saga is <code>/sagas/</code> followed by its id.
      </p>
    </Empty>
  );
}

const themes = ["auto", "light", "dark"] as const;

function Theme() {
  const [theme, set] = useState<string>(() => localStorage.getItem("amends.theme") ?? "auto");
  const next = themes[(themes.indexOf(theme as (typeof themes)[number]) + 1) % themes.length]!;
  const toggle = () => {
    if (next === "auto") {
      localStorage.removeItem("amends.theme");
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem("amends.theme", next);
      document.documentElement.dataset.theme = next;
    }
    set(next);
  };
  const label = `Theme: ${theme}. Change to ${next}`;
  return (
    <button class="plain" onClick={toggle} title={label} aria-label={label} data-theme-toggle>
      <Icon of={theme === "light" ? "sun" : theme === "dark" ? "moon" : "auto"} />
    </button>
  );
}

function Console() {
  const { pathname } = useAddress();
  const [help, setHelp] = useState(false);
  const who = useWho();
  const parked = useParked();
  useEffect(() => {
    let went = 0;
    return onKey((key) => {
      if (key === "?") return setHelp(true), true;
      if (key === "t") return document.querySelector<HTMLButtonElement>("[data-theme-toggle]")?.click(), true;
      if (key === "g") return (went = Date.now()), true;
      const place = Date.now() - went < 1500 && places.find((p) => p.key === key);
      went = 0;
      if (!place) return false;
      navigate(place.path);
      return true;
    });
  }, []);
  const here = (path: string) => pathname === path || (path !== "/" && pathname.startsWith(path + "/"));
  return (
    <>
      <header class="top">
        <a class="brand" href="/" aria-label="Amends">
          <Logo />
          Amends
        </a>
        <nav class="nav" aria-label="Pages">
          {places.map((p) => (
            <a href={p.path} aria-current={here(p.path) ? "page" : undefined}>
              <Icon of={p.icon} />
              {p.title}
              {p.path === "/sagas" && parked > 0 && (
                <span class="badge" title={`${parked} parked, waiting for an operator`}>
                  {parked}
                  <span class="hidden"> parked</span>
                </span>
              )}
            </a>
          ))}
        </nav>
        {who.known && <span class="muted small wide">{who.name} · {who.role}</span>}
        {who.known && (
          <button class="plain" onClick={logout} title="Log out" aria-label="Log out">
            <Icon of="out" />
          </button>
        )}
        <Theme />
        <button class="plain" onClick={() => setHelp(true)} title="Keys and terms (?)" aria-label="Keys and terms">
          <Icon of="help" />
        </button>
      </header>
      <Offline />
      <main>
        <Page path={pathname} />
      </main>
      {help && <Help close={() => setHelp(false)} />}
    </>
  );
}

const Logo = () => (
  <svg viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="7" fill="#3346b8" />
    <path d="M9 12h10a5 5 0 0 1 0 10h-7M13 7l-5 5 5 5" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" stroke-linejoin="round" />
  </svg>
);

showSafely();
interceptLinks();
render(<Console />, document.getElementById("console")!);
