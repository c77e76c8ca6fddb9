# Makes page.html one text of C.
1i\
static const char page[] =
s/[\\"]/\\&/g
s/.*/	"&\\n"/
$a\
	;
