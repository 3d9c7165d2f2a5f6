def draw_svg(p, t): return ""
