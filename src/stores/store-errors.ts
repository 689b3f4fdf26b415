import { PromDrError } from '../errors.ts'

export function objectNotFound(url: string, key: string, cause?: unknown): PromDrError {
  return new PromDrError('OBJECT_NOT_FOUND', `no object ${key} in ${url}`, { details: { key }, ...(cause === undefined ? {} : { cause }) })
}

export function objectExists(url: string, key: string): PromDrError {
  return new PromDrError('OBJECT_EXISTS', `${key} in ${url} exists already with other content`, {
    hint: 'another writer uses this repository under the same name, or the object is damaged: run "prom-dr verify"',
    details: { key },
  })
}
