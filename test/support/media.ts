// Small valid files of each format that ComfyUI writes, made from nothing but a seed: other seed, other bytes. Players and
// picture programs open them. Sizes are small by default; where `bytes` is offered, it is the size of the file.
export { noise } from './media/bytes.ts';
export { makeGlb, makeText } from './media/documents.ts';
export { makeJpeg } from './media/jpeg.ts';
export { makeWebm } from './media/matroska.ts';
export { type Mp4Layout, makeFragmentedMp4, makeMp4 } from './media/mp4.ts';
export { makeGif, makeWebp } from './media/pictures.ts';
export { makePng, makePngOfSize } from './media/png.ts';
export { makeFlac, makeMp3, makeWav } from './media/sound.ts';
