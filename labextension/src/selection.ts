/** The storage that map, curve and table show as chosen; null for none. */
export class Selection {
  get storage(): number | null {
    return this._storage;
  }

  /** Choose `storage`, and tell every listener if that is a change. */
  choose(storage: number | null): void {
    if (storage !== this._storage) {
      this._storage = storage;
      this._listeners.forEach(listener => listener(storage));
    }
  }

  onChange(listener: (storage: number | null) => void): void {
    this._listeners.push(listener);
  }

  private _storage: number | null = null;
  private readonly _listeners: Array<(storage: number | null) => void> = [];
}
