// Who may see what. On loopback everybody on this machine, under its local names; beyond it whoever has the token.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { getCookie } from 'hono/cookie';
import { isLoopback } from './client.ts';
import { tokenPage, welcomePage } from './page/document.ts';

const cookieName = 'r2-sync';
const cookieSeconds = 30 * 24 * 3600;
/** Needed by the page that asks for the token; it says nothing about the pod. */
const openPaths: ReadonlySet<string> = new Set(['/healthz', '/page.css']);

/**
 * Against DNS rebinding: a web site whose name was pointed at 127.0.0.1 is let in by the browser, but the Host header
 * still has the site's name.
 */
export const requireLocalName: MiddlewareHandler = async (c, next) => {
  const name = (c.req.header('host') ?? '').replace(/:\d+$/, '');
  if (isLoopback(name)) return next();
  return c.text(
    'This address is only served under the names 127.0.0.1, localhost and [::1]. Open it with one of them, for instance through an SSH tunnel.\n',
    403,
  );
};

/** @param token undefined lets nobody in */
export function requireToken(token: string | undefined): MiddlewareHandler {
  return async (c, next) => {
    const { path } = c.req;
    if (openPaths.has(path)) return next();
    const offered = path === '/' ? c.req.query('token') : undefined;
    if (offered !== undefined && token !== undefined && equal(offered.trim(), token)) {
      // Without a path, the cookie belongs to the directory that the browser asked: where ComfyUI passes the page on,
      // that is below its own pages, and they don't get it.
      const secure = c.req.header('x-forwarded-proto') === 'https' ? '; Secure' : '';
      const cookie = `${cookieName}=${cookieValue(token)}; Max-Age=${cookieSeconds}; HttpOnly; SameSite=Strict${secure}`;
      c.header('set-cookie', cookie);
      return c.html(welcomePage);
    }
    if (offered === undefined && hasToken(c, token)) return next();
    c.header('www-authenticate', 'Bearer');
    if (path === '/') return c.html(tokenPage(offered !== undefined), 401);
    return c.text('This needs the token: Authorization: Bearer TOKEN.\n', 401);
  };
}

export function hasToken(c: Context, token: string | undefined): boolean {
  if (token === undefined) return false;
  const bearer = /^Bearer +(\S+) *$/i.exec(c.req.header('authorization') ?? '')?.[1];
  if (bearer !== undefined) return equal(bearer, token);
  const cookie = getCookie(c, cookieName);
  return cookie !== undefined && equal(cookie, cookieValue(token));
}

/** Browsers send cookies to every port of a host, so to ComfyUI's nodes too: the cookie isn't the token itself. */
function cookieValue(token: string): string {
  return createHash('sha256').update(`r2-sync cookie\n${token}`).digest('hex');
}

/** Compares in a time that says nothing about where the two differ. */
function equal(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
