/** Dry run: nobody can say what the step would do; the message says why, in words that follow "cannot be told:". */
export class Unknown extends Error {
  override name = 'Unknown';
}
