/** What `http.setGlobalProxyFromEnv` reads; empty: none. */
export interface Proxies {
  http_proxy: string;
  https_proxy: string;
  no_proxy: string;
}

/**
 * The HTTP proxies that an environment names, as curl takes them: also without `http://`, the small name before the large.
 * `wrong`: the names of the variables that are no address of one, which are not used.
 */
export function proxiesIn(environment: Readonly<Record<string, string | undefined>>): {
  proxies: Proxies;
  wrong: string[];
} {
  const wrong: string[] = [];
  const proxy = (name: string): string => {
    const set = [name, name.toUpperCase()].find((key) => (environment[key]?.trim() ?? '') !== '');
    const value = environment[set ?? '']?.trim() ?? '';
    const address = value.includes('://') ? value : `http://${value}`;
    if (set === undefined) return '';
    if (/^https?:\/\//.test(address) && URL.canParse(address)) return address;
    wrong.push(set);
    return '';
  };
  const no_proxy = environment['no_proxy'] ?? environment['NO_PROXY'] ?? '';
  return { proxies: { http_proxy: proxy('http_proxy'), https_proxy: proxy('https_proxy'), no_proxy }, wrong };
}
