/** Until `ms` have passed; rejects with the signal's reason. `holds`: the agent does not end before. */
export function pause(ms: number, signal: AbortSignal, holds = true): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settle(resolve), ms);
    if (!holds) timer.unref();
    const aborted = () => settle(() => reject(signal.reason));
    function settle(how: () => void): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      how();
    }
    if (signal.aborted) aborted();
    else signal.addEventListener('abort', aborted);
  });
}
