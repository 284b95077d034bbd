import { useEffect, useState } from "preact/hooks";
import { request } from "./api";

// Who is logged in. Without authentication, /auth/whoami names nobody, and users enter
// their name with each decision.
export type Who = { known: boolean; name: string; role: string };

const anonymous: Who = { known: false, name: "", role: "admin" };

let asked: Promise<Who> | undefined;

async function ask(): Promise<Who> {
  const response = await request("/auth/whoami", { headers: { Accept: "application/json" } }, async (r) => ({ status: r.status, ok: r.ok, text: await r.text() }));
  if (response.status === 401) location.assign("/auth/login?next=" + encodeURIComponent(location.pathname + location.search));
  if (!response.ok) return anonymous;
  const { name = "", role = "viewer", via = "" } = JSON.parse(response.text) as { name?: string; role?: string; via?: string };
  return { known: via !== "" && via !== "anonymous", name, role };
}

export function useWho(): Who {
  const [who, set] = useState<Who>(anonymous);
  useEffect(() => {
    const again = () => (asked = undefined); // the next caller tries again
    (asked ??= ask()).then(set, again);
  }, []);
  return who;
}

const rank: Record<string, number> = { viewer: 0, operator: 1, admin: 2 };

export const may = (who: Who, role: "operator" | "admin"): boolean => (rank[who.role] ?? 0) >= rank[role]!;

export function rememberedName(who: Who): string {
  return who.known ? who.name : localStorage.getItem("amends.name") ?? "";
}

export const rememberName = (name: string): void => localStorage.setItem("amends.name", name);

export async function logout(): Promise<void> {
  await request("/auth/logout", { method: "POST", redirect: "manual" }, async () => {});
  location.assign("/auth/login");
}
