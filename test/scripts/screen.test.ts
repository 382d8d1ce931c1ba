// The pictures of the terminal show what a terminal shows.
import { describe, expect, test } from 'vitest';
import { Screen } from '../../scripts/pictures/screen.ts';

function show(output: string, columns = 20, rows = 4): Screen {
  const screen = new Screen(columns, rows);
  // Sequences may be torn anywhere.
  for (const char of output) screen.write(char);
  return screen;
}

describe('a terminal’s screen', () => {
  test('text in lines, wrapped at the edge, the oldest gone at the top', () => {
    expect(show('one\r\ntwo').text()).toBe('one\ntwo');
    expect(show('abcdef', 4).text()).toBe('abcd\nef');
    expect(show('1\r\n2\r\n3\r\n4\r\n5\r\n').text()).toBe('3\n4\n5');
  });

  test('a progress bar that is drawn again over itself', () => {
    expect(show('10 %\r\x1b[K100 %').text()).toBe('100 %');
    expect(show('a long line\rshort\x1b[K').text()).toBe('short');
    expect(show('one\r\ntwo\r\n\x1b[2K\x1b[1A\x1b[2K\x1b[1A\x1b[2K\x1b[Gnew').text()).toBe('new');
    expect(show('old\r\nold\x1b[2J\x1b[Hnew').text()).toBe('new');
    expect(show('\x1b[?25l\x1b[?1049hfull\x1b[?25h').text()).toBe('full');
  });

  test('colours and weights end where they end, and names from disk stay text', () => {
    expect(show('\x1b[32mfine\x1b[39m, \x1b[1mbold\x1b[22m').html()).toMatch(
      /^<span style="color:#\w{6}">fine<\/span>, <span style="font-weight:bold">bold<\/span>$/,
    );
    expect(show('\x1b[38;5;196m1\x1b[38;2;1;2;3m2\x1b[0m3').html()).toBe(
      '<span style="color:rgb(255,0,0)">1</span><span style="color:rgb(1,2,3)">2</span>3',
    );
    expect(show('<img src=x>&').html()).toBe('&lt;img src=x&gt;&amp;');
  });
});
