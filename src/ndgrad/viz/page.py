def draw_page(p, t): return ""
